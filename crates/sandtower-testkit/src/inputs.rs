//! Inputs for tests of edge cases.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use tower_service::Service;

use crate::BoxError;

/// Durations for property tests: any, and the extreme ones, from zero to [`Duration::MAX`].
pub fn extreme_durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::from_secs(u64::MAX)),
        Just(Duration::MAX),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
    ]
}

/// A service whose futures may be polled after completion, unlike most: shows whether a layer panics by
/// itself then.
///
/// It responds with the request; the request 0 fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fused;

impl Service<u64> for Fused {
    type Response = u64;
    type Error = BoxError;
    type Future = FusedFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> FusedFuture {
        FusedFuture(request)
    }
}

/// The response of [`Fused`].
#[derive(Debug)]
pub struct FusedFuture(u64);

impl Future for FusedFuture {
    type Output = Result<u64, BoxError>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(if self.0 == 0 { Err("failed".into()) } else { Ok(self.0) })
    }
}
