//! The service without sockets, for tests on paused time.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::{Request, Response};

use crate::control::Control;
use crate::estate::Estate;
use crate::options::Options;
use crate::server::{self, NotHttp};
use crate::state::State;
use crate::wire::AnswerBody;

/// Larger headers break the connection, as they do with HTTP clients.
const MOST_OF_HEAD: usize = 256 << 10;

/// The simulated service as a function, with all methods of [`Control`]. Latencies and quotas use
/// tokio's clock, which a test can pause. Signatures and the end of sessions use the system's
/// clock.
#[derive(Clone, Debug)]
pub struct InProcess {
    control: Control,
}

impl InProcess {
    /// The service of an estate. It ignores the port of the options.
    #[must_use]
    pub fn new(estate: Estate, options: &Options) -> Self {
        Self { control: Control::new(Arc::new(State::new(estate, options))) }
    }

    /// The most bytes of a body that [`InProcess::answer`] reads.
    pub const MOST: usize = 64 << 20;

    /// Answers a request as the server of a [`Simulator`](crate::Simulator) does. Its URI may be absolute; if the
    /// `Host` header is missing, it is the URI's authority.
    ///
    /// The future needs a tokio runtime with time.
    ///
    /// # Errors
    /// If a client would see a broken connection: it is dropped, or the body is cut short or
    /// endless.
    pub fn answer(&self, request: Request<Bytes>) -> impl Future<Output = io::Result<Response<Bytes>>> + Send + use<> {
        let answer = self.begin(request);
        async move {
            let (mut head, body) = answer.await?.into_parts();
            let body = Limited::new(body, Self::MOST).collect().await.map_err(io::Error::other)?.to_bytes();
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            Ok(Response::from_parts(head, body))
        }
    }

    /// As [`InProcess::answer`], with a body that the caller reads piece by piece.
    ///
    /// # Errors
    /// If a client would see a broken connection before the body.
    pub fn begin(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = io::Result<Response<AnswerBody>>> + Send + use<> {
        let control = self.control.clone();
        async move {
            let answer = server::handle(control.state(), request.map(Full::new)).await?;
            if answer.extensions().get::<NotHttp>().is_some() {
                return Err(io::Error::other("the answer is not HTTP on purpose"));
            }
            let head: usize = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            if head > MOST_OF_HEAD {
                return Err(io::Error::other("the answer has a header that is too large on purpose"));
            }
            Ok(answer)
        }
    }
}

impl Deref for InProcess {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}
