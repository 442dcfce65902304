//! Sends the bodies of answers, complete or broken.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// The repeated part of an endless body, after the start of an answer.
const ENDLESS: &[u8] = &[b'a'; 64 << 10];

/// The number of pieces of a slow body.
const SLOW_PIECES: usize = 16;

/// How an answer is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Completely.
    #[default]
    Whole,
    /// Not at all: the connection closes.
    Dropped,
    /// The first half; then the connection closes.
    Truncated,
    /// In pieces, with a pause before each.
    Slow(Duration),
    /// Endlessly.
    Endless,
    /// After a status line that is not HTTP.
    NotHttp,
}

/// The body of an answer, which may be slow, break off or never end. Its size hint is the full
/// length, so that hyper announces it.
#[derive(Debug)]
pub struct AnswerBody {
    rest: Bytes,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Whole,
    Slow {
        pause: Duration,
        piece: usize,
        sleep: Pin<Box<Sleep>>,
    },
    Half,
    /// The half has been sent. hyper flushes it while the body is pending.
    Flush,
    Break,
    Endless,
}

impl AnswerBody {
    pub(crate) fn new(body: Bytes, delivery: Delivery) -> Self {
        let way = match delivery {
            Delivery::Whole | Delivery::Dropped | Delivery::NotHttp => Way::Whole,
            Delivery::Endless => Way::Endless,
            Delivery::Truncated => Way::Half,
            Delivery::Slow(pause) => {
                Way::Slow { pause, piece: body.len().div_ceil(SLOW_PIECES).max(1), sleep: Box::pin(sleep(pause)) }
            }
        };
        let rest = if matches!(way, Way::Endless) { Bytes::from_static(b"{\"TableNames\":[\"") } else { body };
        Self { rest, way }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        match &mut this.way {
            Way::Whole if this.rest.is_empty() => Poll::Ready(None),
            Way::Whole => Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest))))),
            Way::Slow { .. } if this.rest.is_empty() => Poll::Ready(None),
            Way::Slow { pause, piece, sleep: timer } => {
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                *timer = Box::pin(sleep(*pause));
                let piece = this.rest.split_to((*piece).min(this.rest.len()));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Way::Half => {
                this.way = Way::Flush;
                let half = this.rest.split_to(this.rest.len() / 2);
                Poll::Ready(Some(Ok(Frame::data(half))))
            }
            Way::Flush => {
                this.way = Way::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Way::Endless if this.rest.is_empty() => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(ENDLESS))))),
            Way::Endless => Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest))))),
            Way::Break => Poll::Ready(Some(Err(io::Error::other("the body is cut short on purpose")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && matches!(self.way, Way::Whole | Way::Slow { .. })
    }

    fn size_hint(&self) -> SizeHint {
        match self.way {
            Way::Endless => SizeHint::default(),
            _ => SizeHint::with_exact(self.rest.len() as u64),
        }
    }
}
