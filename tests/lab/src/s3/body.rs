//! Bodies that trickle, and bodies that break off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use s3s::Body;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Passes a body on at so many bytes a second.
pub(super) struct Slow {
    inner: Body,
    waiting: Bytes,
    chunk: usize,
    pause: Duration,
    clock: Pin<Box<Sleep>>,
}

impl Slow {
    pub(super) fn new(inner: Body, bytes_per_second: u32) -> Self {
        let rate = bytes_per_second.max(1);
        let chunk = (rate / 10).max(1);
        Self {
            inner,
            waiting: Bytes::new(),
            chunk: usize::try_from(chunk).unwrap(),
            pause: Duration::from_secs(1) * chunk / rate,
            clock: Box::pin(sleep(Duration::ZERO)),
        }
    }
}

impl HttpBody for Slow {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        ready!(self.clock.as_mut().poll(cx));
        if self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => self.waiting = frame.into_data().unwrap_or_default(),
                end => return Poll::Ready(end),
            }
        }
        let length = self.chunk.min(self.waiting.len());
        let now = self.waiting.split_to(length);
        self.clock = Box::pin(sleep_until(Instant::now() + self.pause));
        Poll::Ready(Some(Ok(Frame::data(now))))
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.size_hint();
        let waiting = u64::try_from(self.waiting.len()).unwrap();
        inner.exact().map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + waiting))
    }
}

/// Passes half of a body on, then has the connection reset.
pub(super) struct Cut {
    inner: Body,
    left: usize,
    size: SizeHint,
    reset: Arc<Notify>,
}

impl Cut {
    pub(super) fn new(inner: Body, length: usize, reset: Arc<Notify>) -> Self {
        let size = inner.size_hint();
        Self { inner, left: length / 2, size, reset }
    }
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            // hyper flushes what it has when a body is pending; the connection's task resets after that.
            self.reset.notify_one();
            return Poll::Pending;
        }
        let Some(Ok(frame)) = ready!(Pin::new(&mut self.inner).poll_frame(cx)) else {
            self.left = 0;
            return self.poll_frame(cx);
        };
        let mut data = frame.into_data().unwrap_or_default();
        data.truncate(self.left);
        self.left -= data.len();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}
