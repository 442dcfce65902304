//! The service without sockets, for tests on paused time.

use std::{io, ops::Deref, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    header::{CONTENT_LENGTH, HeaderValue},
};

use crate::{control::Control, estate::Estate, options::Options, server, state::State};

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

    /// Answers a request as the server of a [`Simulator`](crate::Simulator) does. Its URI may be absolute; if the
    /// `Host` header is missing, it is the URI's authority.
    ///
    /// The future needs a tokio runtime with time.
    ///
    /// # Errors
    /// Where a client would see the connection break: it is dropped, or the body is cut short.
    pub fn answer(&self, request: Request<Bytes>) -> impl Future<Output = io::Result<Response<Bytes>>> + Send + use<> {
        let control = self.control.clone();
        async move {
            let answer = server::handle(control.state(), request.map(Full::new)).await?;
            let (mut head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            Ok(Response::from_parts(head, body))
        }
    }
}

impl Deref for InProcess {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}
