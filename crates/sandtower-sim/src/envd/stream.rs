//! What all streams have in common: what ends them.

use std::future::Future;

use tokio::sync::watch;

use super::*;
use crate::error::ConnectionError;

/// The body of a stream that `write` writes, up to its last envelope, which it returns.
///
/// A sandbox that stops resets it, and with its reader the writing ends too.
pub(super) fn body<W>(
    sim: Arc<Shared>,
    mut life: watch::Receiver<Life>,
    write: impl FnOnce(Sender) -> W,
) -> Body
where
    W: Future<Output = Bytes> + Send + 'static,
{
    let (to, body) = Body::stream();
    let writing = write(to.clone());
    tokio::spawn(async move {
        let last = select! {
            biased;
            () = sandbox::stopped(&sim, &mut life) => Err(ConnectionError::reset(true)),
            last = writing => Ok(last),
            () = to.closed() => return,
        };
        select! {
            biased;
            _ = to.send(last) => {}
            () = sandbox::over(&sim, &mut life) => {}
        }
    });
    body
}

/// Sends an envelope.
pub(super) async fn send(to: &Sender, sealed: Bytes) {
    // Without a reader the stream is about to end.
    drop(to.send(Ok(sealed)).await);
}
