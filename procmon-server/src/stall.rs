//! Clients that stop reading: a connection that takes nothing for too long fails, and gives its place to others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A connection with bounded patience for its client.
#[derive(Debug)]
pub(crate) struct Impatient<S> {
    inner: S,
    patience: Duration,
    /// Runs while the other side takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    ended: Counter,
}

impl<S> Impatient<S> {
    /// `ended` counts those that were given up.
    pub(crate) fn new(inner: S, patience: Duration, ended: Counter) -> Self {
        Self {
            inner,
            patience,
            stalled: None,
            ended,
        }
    }

    fn progress<T>(&mut self, written: io::Result<T>) -> Poll<io::Result<T>> {
        self.stalled = None;
        Poll::Ready(written)
    }

    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        self.ended.inc();
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client took nothing for too long",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(context, buffer) {
            Poll::Ready(written) => self.progress(written),
            Poll::Pending => self.wait(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write_vectored(context, buffers) {
            Poll::Ready(written) => self.progress(written),
            Poll::Pending => self.wait(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(context) {
            Poll::Ready(flushed) => self.progress(flushed),
            Poll::Pending => self.wait(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_who_is_slow_is_not() {
        let ended = Counter::default();
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Impatient::new(ours, Duration::from_millis(300), ended.clone());
        let writing = tokio::spawn(async move {
            let written = ours.write_all(&[0; 160]).await;
            (written, ours)
        });
        // A little at a time, for longer in all than the patience with a client that takes nothing.
        let mut buffer = [0; 16];
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            theirs.read_exact(&mut buffer).await.expect("sixteen bytes");
        }
        let (written, mut ours) = writing.await.expect("no panic");
        written.expect("all of it");
        let error = ours.write_all(&[0; 32]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(ended.get(), 1);
    }
}
