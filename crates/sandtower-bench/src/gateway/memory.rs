//! What a gateway holds while it does nothing.

use std::io;
use std::time::Duration;

use super::connection::Connection;
use super::program::Program;
use super::run::{control_request, data_request};
use super::workers;

/// How many connections are opened at a time: fewer than wait to be accepted.
const AT_ONCE: usize = 64;
/// Connections for requests with all keys, so that all workers see each key.
const KEY_CONNECTIONS: usize = 8;

/// By how many bytes the memory of `proxy` grows with so many connections, each of which has had one request.
pub(super) fn idle_connections(proxy: &Program, count: usize) -> io::Result<f64> {
    let before = proxy.memory()?;
    let request = data_request(None);
    workers::runtime()?.block_on(async {
        let mut open = Vec::new();
        while open.len() < count {
            let mut new = Vec::new();
            for _ in 0..AT_ONCE.min(count - open.len()) {
                new.push(Connection::with_buffer(proxy.address(), 1_024).await?);
            }
            for connection in &mut new {
                connection.call(&request).await?;
            }
            open.append(&mut new);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok((proxy.memory()? - before) as f64)
    })
}

/// By how many bytes the memory of `proxy` grows with each API key.
pub(super) fn keys(proxy: &Program, count: usize) -> io::Result<f64> {
    workers::runtime()?.block_on(async {
        let mut open = Vec::new();
        for _ in 0..KEY_CONNECTIONS {
            open.push(Connection::open(proxy.address()).await?);
        }
        let mut before = 0;
        for key in 0..=count {
            for connection in &mut open {
                connection.call(&control_request(key)).await?;
            }
            if key == 0 {
                before = proxy.memory()?;
            }
        }
        Ok((proxy.memory()? - before) as f64 / count as f64)
    })
}
