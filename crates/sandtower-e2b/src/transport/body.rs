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

/// The end of a body is one frame, or trailers. A peer that sends more has no end.
const DRAINED_FRAMES: usize = 8;

/// The body of a response stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no more of the response came for {after:?}")]
#[non_exhaustive]
pub struct Silent {
    /// How long nothing came.
    pub after: Duration,
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is longer than this.
    TooLong(usize),
    /// It broke off, or stood still: another attempt may well get all of it.
    Broken(BoxError),
    /// It is whole, and something else.
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

/// The next piece of `body`; `None`: that was all. Dropping the future loses no piece.
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

/// All of `body`, if it is no longer than `longest` and never stands still for longer than
/// `patience`.
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
        // Most responses come in one piece, which need not be copied.
        if whole.is_empty() && first.is_empty() {
            first = piece;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&piece);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Reads what of `body` is there already, and waits for none: a response whose end is known is read to
/// its last byte where that costs nothing, so that its connection can be used again.
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
