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

/// More than this in the headers breaks the connection, as it does for HTTP clients.
const MOST_OF_HEAD: usize = 256 << 10;

/// The simulated service as a function, with all methods of [`Control`]. It waits on tokio's clock only, so that a
/// paused one drives its latencies and quotas. Signatures are checked, and sessions end, by the system's clock.
#[derive(Clone, Debug)]
pub struct InProcess {
    control: Control,
}

impl InProcess {
    /// The service of an estate. The options' port means nothing here.
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
    /// Where a client would see the connection break: it is dropped, the body is cut short, or there is no end of it.
    pub fn answer(&self, request: Request<Bytes>) -> impl Future<Output = io::Result<Response<Bytes>>> + Send + use<> {
        let answer = self.begin(request);
        async move {
            let (mut head, body) = answer.await?.into_parts();
            let body = Limited::new(body, Self::MOST).collect().await.map_err(io::Error::other)?.to_bytes();
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            Ok(Response::from_parts(head, body))
        }
    }

    /// The same as [`InProcess::answer`], with a body that is still to be read, piece by piece.
    ///
    /// # Errors
    /// Where a client would see the connection break before the body.
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
