//! Requests at a fixed rate, whether or not earlier ones were responded to: their latency counts from when
//! they should have been sent, so that a proxy that stalls is not spared the requests of that time.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use sandtower::core::Tick;

use super::connection::Connection;
use super::program::pause;
use super::workers;

/// Enough for all requests in flight.
const CONNECTIONS: usize = 256;
/// How long a response may take at most.
const LONGEST: Duration = Duration::from_secs(10);

/// Latencies in microseconds, at two percentiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// Sends `rate` requests a second for `time`.
pub(super) fn measure(
    address: SocketAddr,
    request: &[u8],
    rate: u32,
    time: Duration,
) -> io::Result<Latency> {
    let (free, next) = channel();
    let due: Arc<[AtomicU64]> = (0..CONNECTIONS).map(|_| AtomicU64::new(0)).collect();
    let runtime = workers::runtime()?;
    let mut sockets = Vec::new();
    let mut readers = Vec::new();
    for number in 0..CONNECTIONS {
        let (socket, connection) = runtime.block_on(open(address, request))?;
        sockets.push(socket);
        readers.push(runtime.spawn(read(connection, number, Arc::clone(&due), free.clone())));
        free.send(number).map_err(io::Error::other)?;
    }
    drop(free);
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        for reader in readers {
            all.extend(runtime.block_on(reader).map_err(io::Error::other)??);
        }
        io::Result::Ok(all)
    });
    let sent = send(&sockets, request, rate, time, &due, &next);
    for socket in &sockets {
        socket.shutdown(std::net::Shutdown::Both)?;
    }
    let read = reading.join().map_err(|_| io::Error::other("the reader panicked"))?;
    sent?;
    Ok(percentiles(read?))
}

async fn open(
    address: SocketAddr,
    request: &[u8],
) -> io::Result<(std::net::TcpStream, Connection)> {
    let mut connection = Connection::open(address).await?;
    connection.call(request).await?;
    connection.split()
}

/// Sends each request when it is due, on a connection that is free.
fn send(
    sockets: &[std::net::TcpStream],
    request: &[u8],
    rate: u32,
    time: Duration,
    due: &[AtomicU64],
    free: &Receiver<usize>,
) -> io::Result<()> {
    let began = Tick::now();
    let late = |_| io::Error::other(format!("no response came within {LONGEST:?}"));
    for number in 0.. {
        let at = Duration::from_secs(number) / rate;
        if at >= time {
            break;
        }
        let early = (began + at).since(Tick::now());
        if !early.is_zero() {
            pause(early);
        }
        let next = free.recv_timeout(LONGEST).map_err(late)?;
        due[next].store((began + at).as_nanos(), Ordering::Relaxed);
        (&sockets[next]).write_all(request)?;
    }
    for _ in sockets {
        free.recv_timeout(LONGEST).map_err(late)?;
    }
    Ok(())
}

/// Reads responses until the connection is closed; returns their latencies in nanoseconds.
async fn read(
    mut connection: Connection,
    number: usize,
    due: Arc<[AtomicU64]>,
    free: Sender<usize>,
) -> io::Result<Vec<u64>> {
    let mut latencies = Vec::new();
    loop {
        let left = match connection.head().await {
            Ok(left) => left,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(latencies),
            Err(error) => return Err(error),
        };
        connection.skip(left).await?;
        let due = Tick::from_nanos(due[number].load(Ordering::Relaxed));
        latencies.push(u64::try_from(Tick::now().since(due).as_nanos()).unwrap_or(u64::MAX));
        // Nothing is sent any more.
        let _ = free.send(number);
    }
}

fn percentiles(mut nanos: Vec<u64>) -> Latency {
    nanos.sort_unstable();
    let at = |percent: usize| {
        let place = (nanos.len() * percent / 100).min(nanos.len().saturating_sub(1));
        nanos.get(place).map_or(f64::INFINITY, |nanos| *nanos as f64 / 1e3)
    };
    Latency { p50: at(50), p99: at(99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_microseconds() {
        let Latency { p50, p99 } = percentiles((0..100).rev().map(|us| us * 1_000).collect());
        assert_eq!((p50, p99), (50.0, 99.0));
        assert_eq!(percentiles(Vec::new()).p50, f64::INFINITY);
    }
}
