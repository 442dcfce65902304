//! A connection that can spoil the status line of its next answer, which hyper itself cannot.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The beginning of an answer that is not HTTP, instead of `HTTP/1.1`.
const NOT_HTTP: &[u8] = b"\x16\x03\x01 OOP";

/// Spoils the next answer of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spoiler(Arc<AtomicBool>);

impl Spoiler {
    pub(crate) fn spoil_next(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A stream that a [`Spoiler`] can act on.
#[derive(Debug)]
pub(crate) struct Spoiled<S> {
    stream: S,
    spoiler: Spoiler,
}

impl<S> Spoiled<S> {
    pub(crate) fn new(stream: S) -> (Self, Spoiler) {
        let spoiler = Spoiler::default();
        (Self { stream, spoiler: spoiler.clone() }, spoiler)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Spoiled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spoiled<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.spoiler.0.load(Ordering::Relaxed) || bytes.len() < NOT_HTTP.len() {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        let mut spoiled = bytes.to_vec();
        spoiled[..NOT_HTTP.len()].copy_from_slice(NOT_HTTP);
        let written = Pin::new(&mut self.stream).poll_write(context, &spoiled);
        if written.is_ready() {
            self.spoiler.0.store(false, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
