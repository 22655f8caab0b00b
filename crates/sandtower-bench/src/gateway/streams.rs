//! Long bodies, both ways.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sandtower::core::Tick;
use tokio::task::JoinSet;

use super::connection::{Connection, PIECE};
use super::program::Program;
use super::run::{data_request, upload_request};
use super::workers;

/// How many streams there are at a time when memory is measured.
const STREAMS: usize = 8;
/// How long the side that reads stands still, so that what a proxy holds fills up.
const STALL: Duration = Duration::from_millis(300);
/// After how many bytes.
const STALL_AFTER: usize = 1_000_000;

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Down,
    Up,
}

/// Megabytes a second of one stream.
pub(super) fn speed(address: SocketAddr, way: Way, bytes: usize) -> io::Result<f64> {
    let began = Tick::now();
    workers::runtime()?.block_on(stream(address, way, bytes, Duration::ZERO))?;
    Ok(bytes as f64 / 1e6 / Tick::now().since(began).as_secs_f64())
}

/// By how many bytes the memory of `proxy` grows for each of some streams at a time whose reader stalls.
pub(super) fn growth(proxy: &Program, way: Way, bytes: usize) -> io::Result<f64> {
    let before = proxy.memory()?;
    let mut most = before;
    workers::runtime()?.block_on(async {
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            streams.spawn(stream(proxy.address(), way, bytes, STALL));
        }
        loop {
            tokio::select! {
                ended = streams.join_next() => match ended {
                    Some(ended) => ended.map_err(io::Error::other)??,
                    None => return io::Result::Ok(()),
                },
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            most = most.max(proxy.memory()?);
        }
    })?;
    Ok((most - before) as f64 / STREAMS as f64)
}

async fn stream(address: SocketAddr, way: Way, bytes: usize, stall: Duration) -> io::Result<()> {
    let mut connection = Connection::with_buffer(address, PIECE).await?;
    if way == Way::Up {
        connection.write(&upload_request(bytes, stall)).await?;
        let piece = vec![0; PIECE];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(PIECE);
            connection.write(&piece[..length]).await?;
            left -= length;
        }
        let left = connection.head().await?;
        return connection.skip(left).await;
    }
    connection.write(&data_request(Some(bytes))).await?;
    let mut left = connection.head().await?;
    if !stall.is_zero() {
        let first = STALL_AFTER.min(left);
        connection.skip(first).await?;
        left -= first;
        tokio::time::sleep(stall).await;
    }
    connection.skip(left).await
}
