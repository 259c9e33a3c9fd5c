//! TLS before a store that speaks plain HTTP, and what goes wrong on the way to it.
//!
//! Foreign stores bring no faults of their own, so the way to them does: this takes the connection, and hands it on as it
//! came, refuses it, lets it hang, or answers in the store's place as a proxy does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::Lab;
use crate::s3::{bind, tls_acceptor};

/// What becomes of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The store has it.
    Open,
    /// Refused, and those that were open are closed.
    Refused,
    /// Taken, and nothing is ever said.
    Silent,
    /// Every request is answered with these bytes, head and body, and the connection is closed.
    Answer(String),
    /// The same where a request's first line holds the first text; else the store has it.
    AnswerTo(String, String),
}

/// The way to a store, which ends when this is dropped.
pub struct Front {
    port: u16,
    ca_file: PathBuf,
    changes: mpsc::UnboundedSender<(Way, blocking::Sender<()>)>,
}

impl Front {
    /// Takes a port of 127.0.0.1, before a store on another one.
    pub fn start(lab: &Lab, store: SocketAddr) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (listener, address) = runtime.block_on(async {
            let socket = bind(([127, 0, 0, 1], 0).into());
            let address = socket.local_addr().unwrap();
            (socket.listen(1024).unwrap(), address)
        });
        let (tls, authority) = tls_acceptor();
        let port = address.port();
        let ca_file = lab.write_file(format!("front-{port}.pem"), authority);
        let (changes, asked) = mpsc::unbounded_channel();
        thread::spawn(move || {
            runtime.block_on(serve(listener, address, store, tls, asked));
            runtime.shutdown_background();
        });
        Self { port, ca_file, changes }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate authority of its certificate, which names localhost and 127.0.0.1.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Changes what becomes of connections, those that are open too.
    pub fn set(&self, way: Way) {
        let (done, is_so) = blocking::channel();
        self.changes.send((way, done)).unwrap();
        is_so.recv().unwrap();
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    store: SocketAddr,
    tls: TlsAcceptor,
    mut asked: mpsc::UnboundedReceiver<(Way, blocking::Sender<()>)>,
) {
    let (mut open, mut closed) = (Some(listener), None);
    let way = watch::Sender::new(Way::Open);
    loop {
        tokio::select! {
            change = asked.recv() => {
                let Some((wanted, done)) = change else { return };
                if wanted == Way::Refused && open.is_some() {
                    drop(open.take());
                    closed = Some(bind(address));
                } else if let Some(socket) = closed.take_if(|_| wanted != Way::Refused) {
                    open = Some(socket.listen(1024).unwrap());
                }
                way.send_replace(wanted);
                // A test that has given up waiting has already failed.
                done.send(()).unwrap_or_default();
            }
            stream = accept(open.as_ref()) => {
                tokio::spawn(until_a_change(stream, store, tls.clone(), way.subscribe()));
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        None => std::future::pending().await,
        Some(listener) => listener.accept().await.unwrap().0,
    }
}

async fn until_a_change(stream: TcpStream, store: SocketAddr, tls: TlsAcceptor, mut way: watch::Receiver<Way>) {
    let now = way.borrow_and_update().clone();
    tokio::select! {
        // A client that vanishes in the middle of a request is part of the tests.
        _ = converse(stream, store, tls, now) => {}
        _ = way.changed() => {}
    }
}

async fn converse(stream: TcpStream, store: SocketAddr, tls: TlsAcceptor, way: Way) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if way == Way::Silent {
        std::future::pending::<()>().await;
    }
    let mut client = tls.accept(stream).await?;
    let mut read = Vec::new();
    let answer = match way {
        Way::Answer(answer) => Some(answer),
        Way::AnswerTo(marked, answer) => {
            read = head(&mut client).await?;
            let first = String::from_utf8_lossy(&read).lines().next().unwrap_or_default().to_owned();
            first.contains(&marked).then_some(answer)
        }
        _ => None,
    };
    if let Some(answer) = answer {
        // pgBackRest reads no answer before it has sent all of its request: what comes within a moment is all of it.
        let mut rest = [0; 4_096];
        while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_millis(300), client.read(&mut rest)).await {}
        client.write_all(answer.as_bytes()).await?;
        return client.shutdown().await;
    }
    let mut store = TcpStream::connect(store).await?;
    store.set_nodelay(true)?;
    store.write_all(&read).await?;
    copy_bidirectional(&mut client, &mut store).await.map(|_| ())
}

/// A request up to the end of its head, with what came along of its body.
async fn head(client: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    let mut part = [0; 4_096];
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = client.read(&mut part).await?;
        read.extend(part.iter().take(count));
        if count == 0 {
            break;
        }
    }
    Ok(read)
}
