//! Connections that go on in another protocol, such as websockets to a user's program.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::server::InFlight;

/// Passes on both ways what comes after the upgrade, until both sides have ended.
pub(super) fn join(client: OnUpgrade, service: OnUpgrade, in_flight: InFlight) {
    tokio::spawn(async move {
        let Ok((client, service)) = tokio::try_join!(client, service) else { return };
        let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
        // A connection that breaks ends both.
        drop(copy_bidirectional(&mut client, &mut service).await);
        drop(in_flight);
    });
}
