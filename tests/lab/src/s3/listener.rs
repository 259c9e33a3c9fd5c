//! The port: accepting, refusing and resetting connections.
//!
//! A refusing server keeps its port bound without listening, so the kernel answers a connection
//! with a reset ("connection refused") and no other test takes the port meanwhile.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc as blocking};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::service::S3Service;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::gate::Gate;
use super::shared::Shared;

/// What the test asks of the port; `done` is answered when it is so.
pub(super) struct Change {
    pub(super) listen: bool,
    pub(super) done: blocking::Sender<()>,
}

pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) shared: Arc<Shared>,
    pub(super) service: S3Service,
    pub(super) tls: TlsAcceptor,
}

/// A port of 127.0.0.1 that is bound and not listening.
pub(crate) fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl Listener {
    /// Serves until the test drops the sender of changes.
    pub(super) async fn run(self, first: TcpSocket, mut changes: mpsc::UnboundedReceiver<Change>) {
        let mut open = Some(first.listen(1024).unwrap());
        let mut closed = None;
        let closing = watch::Sender::new(());
        loop {
            tokio::select! {
                change = changes.recv() => {
                    let Some(change) = change else { return };
                    if change.listen && open.is_none() {
                        let socket: TcpSocket = closed.take().unwrap();
                        open = Some(socket.listen(1024).unwrap());
                    } else if !change.listen && open.is_some() {
                        drop(open.take());
                        closed = Some(bind(self.address));
                        closing.send_replace(());
                    }
                    // A test that has given up waiting has already failed.
                    change.done.send(()).unwrap_or_default();
                }
                stream = accept(open.as_ref()) => self.welcome(stream, closing.subscribe()),
            }
        }
    }

    fn welcome(&self, stream: TcpStream, closing: watch::Receiver<()>) {
        let reset = Arc::new(Notify::new());
        let gate = Gate { shared: Arc::clone(&self.shared), service: self.service.clone(), reset };
        tokio::spawn(converse(stream, self.tls.clone(), gate, closing));
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            None => std::future::pending().await,
            Some(listener) => match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => eprintln!("the S3 server cannot accept: {error}"),
            },
        }
    }
}

/// One connection, until either side ends it or a fault resets it.
async fn converse(stream: TcpStream, tls: TlsAcceptor, gate: Gate, mut closing: watch::Receiver<()>) {
    // Head and body of an answer are two writes; Nagle would hold the second one for 40 ms.
    stream.set_nodelay(true).unwrap_or_default();
    let Ok(stream) = tls.accept(stream).await else { return };
    let reset = Arc::clone(&gate.reset);
    let service = service_fn(move |request| gate.clone().answer(request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A client that vanishes in the middle of a request is part of the tests.
        _ = &mut connection => return,
        () = reset.notified() => {}
        _ = closing.changed() => {}
    }
    let (stream, _) = connection.into_parts().io.into_inner().into_inner();
    if let Err(error) = stream.set_zero_linger() {
        eprintln!("the S3 server cannot reset a connection: {error}");
    }
}
