//! The gate before s3s: what happens to one request, from top to bottom.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use s3s::Body;
use s3s::service::S3Service;
use tokio::sync::Notify;

use super::body::{Cut, Slow};
use super::errors::{Refusal, refusal_of};
use super::fault::FaultKind;
use super::request::Request;
use super::shared::Shared;

/// One connection's way to the server.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) shared: Arc<Shared>,
    pub(super) service: S3Service,
    /// Has the connection's task reset the connection.
    pub(super) reset: Arc<Notify>,
}

impl Gate {
    pub(super) async fn answer(self, request: hyper::Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let seen = Request::arriving(&request);
        let entry = self.shared.arrived(&seen);
        let request = request.map(Body::from);
        let answer = match self.shared.take_fault(&seen) {
            None | Some((_, FaultKind::Refuse)) => self.serve(&seen, entry, request).await,
            Some((_, FaultKind::Status { http, code })) => {
                self.refuse(&seen, entry, request, Refusal::new(http, &code)).await
            }
            Some((id, FaultKind::Hang)) => {
                self.shared.removed(id).await;
                self.reset_connection().await
            }
            Some((_, FaultKind::Trickle { bytes_per_second })) => {
                let slow = |body| Body::http_body_unsync(Slow::new(body, bytes_per_second));
                self.serve(&seen, entry, request.map(slow)).await.map(slow)
            }
            Some((_, FaultKind::ResetMidBody)) => self.reset_mid_body(&seen, entry, request).await,
        };
        Ok(answer)
    }

    async fn serve(&self, seen: &Request, entry: usize, request: hyper::Request<Body>) -> Response<Body> {
        if let Some(refusal) = self.shared.refusal(seen) {
            return self.refuse(seen, entry, request, refusal).await;
        }
        let headers = request.headers().clone();
        let answer = match self.service.call(request).await {
            Ok(answer) if answer.status().as_u16() < 400 => answer,
            Ok(answer) => {
                let refusal = refusal_of(answer, seen).await.about(seen, &headers);
                self.shared.answered(entry, refusal.status, Some(refusal.code.clone()));
                return refusal.answer(seen);
            }
            Err(error) => {
                eprintln!("the S3 server failed: {error:?}");
                return self.reset_connection().await;
            }
        };
        self.shared.answered(entry, answer.status().as_u16(), None);
        answer
    }

    /// Reads the request's body first, as the client reads no answer before it has sent all of it.
    async fn refuse(
        &self,
        seen: &Request,
        entry: usize,
        request: hyper::Request<Body>,
        refusal: Refusal,
    ) -> Response<Body> {
        let (parts, mut body) = request.into_parts();
        while let Some(Ok(_)) = body.frame().await {}
        self.shared.answered(entry, refusal.status, Some(refusal.code.clone()));
        refusal.about(seen, &parts.headers).answer(seen)
    }

    async fn reset_mid_body(&self, seen: &Request, entry: usize, request: hyper::Request<Body>) -> Response<Body> {
        let upload = length(request.headers(), request.body());
        if upload > 0 {
            let mut cut = Cut::new(request.into_body(), upload, Arc::clone(&self.reset));
            while let Some(Ok(_)) = cut.frame().await {}
            return self.reset_connection().await;
        }
        let answer = self.serve(seen, entry, request).await;
        let download = length(answer.headers(), answer.body());
        if download == 0 {
            return self.reset_connection().await;
        }
        answer.map(|body| Body::http_body_unsync(Cut::new(body, download, Arc::clone(&self.reset))))
    }

    async fn reset_connection(&self) -> Response<Body> {
        self.reset.notify_one();
        future::pending().await
    }
}

/// A message's length by its header, else by what its body knows of itself.
fn length(headers: &HeaderMap, body: &Body) -> usize {
    let header = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    header.or_else(|| usize::try_from(body.size_hint().exact()?).ok()).unwrap_or(0)
}
