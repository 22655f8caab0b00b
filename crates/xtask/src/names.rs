//! The set-up of the tests in which clients reach the gateway by names under a domain.

use std::net::ToSocketAddrs;

use crate::debian;
use crate::setup::{Obstacle, Ready};
use crate::workspace::Workspace;

/// A name such as those that the official SDKs make of a domain under `localhost`.
const NAME: &str = "49983-sandbox.gw.localhost";

/// Debian's package that resolves all names under `localhost` to this machine.
const PACKAGE: &str = "libnss-myhostname";

pub(crate) fn prepare(workspace: &Workspace) -> Result<Ready, Obstacle> {
    let ready = |note: &str| Ready { note: note.to_owned(), variables: Vec::new() };
    if resolves() {
        return Ok(ready("unchanged"));
    }
    debian::install(workspace, PACKAGE)
        .map_err(|remedy| Obstacle::Machine(format!("{NAME} does not resolve; {remedy}")))?;
    // The C library reads its configuration again when that has changed.
    if resolves() {
        return Ok(ready("installed"));
    }
    let reason = format!("{NAME} does not resolve, though `{PACKAGE}` is installed");
    Err(Obstacle::Machine(reason))
}

/// Whether programs of this machine reach it by such a name.
fn resolves() -> bool {
    (NAME, 443).to_socket_addrs().is_ok_and(|mut all| all.any(|address| address.ip().is_loopback()))
}
