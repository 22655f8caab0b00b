//! Running a command: the request, and its stream of events.

use std::pin::pin;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use sandtower_core::BoxError;

use crate::{
    Call, Command, Config, Error, Output, Sandbox,
    envelope::{self, Decoder},
    process::{self, Broken, Collect},
    request,
};

const CONNECT_VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const KEEPALIVE: HeaderName = HeaderName::from_static("keepalive-ping-interval");

/// How often envd is to say that the stream is alive, in seconds: as the official SDKs ask, below
/// the minute after which balancers cut silent connections.
const KEEPALIVE_SECONDS: u16 = 50;

/// The most digits that Connect allows in its time-out: 10, which is 115 days.
const LONGEST_TIMEOUT_MS: u128 = 9_999_999_999;

pub(crate) fn request(
    config: &Config,
    sandbox: &Sandbox,
    command: &Command,
) -> Result<Request<Full<Bytes>>, BoxError> {
    let body = envelope::encode(&process::start(command)?)?;
    let mut request = request::envd(config, sandbox, Method::POST, "/process.Process/Start")?
        .header(header::CONTENT_TYPE, "application/connect+json")
        .header(CONNECT_VERSION, "1")
        .header(KEEPALIVE, KEEPALIVE_SECONDS);
    if let Some(timeout) = command.timeout {
        request = request.header(CONNECT_TIMEOUT, milliseconds(timeout));
    }
    if let Some(user) = &command.user {
        let user = STANDARD.encode(format!("{user}:"));
        request = request.header(header::AUTHORIZATION, format!("Basic {user}"));
    }
    Ok(request.body(Full::new(body))?)
}

/// Rounded up: a command is never given less time than it was promised.
fn milliseconds(timeout: Duration) -> HeaderValue {
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000).min(LONGEST_TIMEOUT_MS);
    HeaderValue::from(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

/// Why there is no output.
pub(crate) enum Failed {
    /// The connection broke.
    Body(BoxError),
    /// What came makes no sense, or says that the command failed.
    Broken(Broken),
}

impl<E: Into<Broken>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// Collects the output out of the answer's body.
pub(crate) async fn collect<B>(body: B, command: &Command) -> Result<Output, Failed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut decoder = Decoder::new();
    let mut collect = Collect::new(command.longest_output);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failed::Body(error.into()))?;
        let Some(piece) = frame.data_ref() else { continue };
        decoder.push(piece);
        while let Some(envelope) = decoder.message()? {
            collect.message(&envelope)?;
        }
    }
    decoder.finish()?;
    Ok(collect.finish()?)
}

impl Failed {
    /// The error of `call`, which ran `command`.
    pub(crate) fn of(self, call: Call, command: &Command) -> Error {
        match self {
            Self::Body(source) => Error::Unreadable { call, source },
            Self::Broken(Broken::TooLong(longest)) => Error::OutputTooLong { call, longest },
            Self::Broken(Broken::Said(said)) => match (said.code.as_deref(), command.timeout) {
                (Some("deadline_exceeded"), Some(after)) => Error::CommandTimedOut { call, after },
                _ => Error::Process { call, said: Box::new(said) },
            },
            Self::Broken(broken) => Error::Unreadable { call, source: broken.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_is_rounded_up_and_fits_ten_digits() {
        assert_eq!(milliseconds(Duration::from_micros(1_500)), "2");
        assert_eq!(milliseconds(Duration::from_secs(120)), "120000");
        assert_eq!(milliseconds(Duration::MAX), "9999999999");
    }
}
