//! Reading the body of a response.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use sandtower_core::BoxError;

use crate::transport::within::within;

/// The end of a body is one frame, or trailers. A peer that sends more is not finishing.
const DRAINED_FRAMES: usize = 8;

/// The body of a response stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no more of the response came for {after:?}")]
#[non_exhaustive]
pub struct Silent {
    /// For how long nothing arrived.
    pub after: Duration,
}

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is longer than this.
    TooLong(usize),
    /// It broke off or stalled: another attempt may succeed.
    Broken(BoxError),
    /// It is complete, but not what was expected.
    Unexpected(String),
}

impl From<Unread> for BoxError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLong(longest) => {
                format!("the response is longer than {longest} bytes").into()
            }
            Unread::Broken(error) => error,
            Unread::Unexpected(what) => what.into(),
        }
    }
}

/// The next chunk of `body`; `None`: the end. Cancel safe.
pub(crate) async fn piece<B>(
    mut body: Pin<&mut B>,
    patience: Option<Duration>,
) -> Option<Result<Bytes, BoxError>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    loop {
        let Some(frame) = within(patience, body.as_mut().frame()).await else {
            return Some(Err(Silent { after: patience.unwrap_or_default() }.into()));
        };
        match frame?.map(http_body::Frame::into_data) {
            Ok(Ok(piece)) => return Some(Ok(piece)),
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error.into())),
        }
    }
}

/// Reads all of `body`, if it is no longer than `longest` and never stalls for longer than `patience`.
pub(crate) async fn read<B>(
    body: B,
    longest: usize,
    patience: Option<Duration>,
) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    if body.size_hint().lower() > longest as u64 {
        return Err(Unread::TooLong(longest));
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(piece) = piece(body.as_mut(), patience).await {
        let piece = piece.map_err(Unread::Broken)?;
        if first.len() + whole.len() + piece.len() > longest {
            return Err(Unread::TooLong(longest));
        }
        // Most responses arrive in one chunk, which need not be copied.
        if whole.is_empty() && first.is_empty() {
            first = piece;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&piece);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Reads the chunks of `body` that are available without waiting. Reading to the last byte lets the
/// connection be reused.
pub(crate) async fn drain_ready<B: Body>(mut body: Pin<&mut B>) {
    poll_fn(|cx| {
        for _ in 0..DRAINED_FRAMES {
            if !matches!(body.as_mut().poll_frame(cx), Poll::Ready(Some(Ok(_)))) {
                break;
            }
        }
        Poll::Ready(())
    })
    .await;
}
