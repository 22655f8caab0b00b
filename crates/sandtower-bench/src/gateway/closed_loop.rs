//! As many requests as come through: each connection sends its next request once it has the response.

use std::io;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::Duration;

use sandtower::core::Tick;

use super::connection::Connection;
use super::program::Program;
use super::workers;

/// Requests of each connection before the measurement.
const WARM_UP: usize = 20;

/// What came through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Throughput {
    pub(super) per_second: f64,
    /// Microseconds of processor time that the proxy took for a request.
    pub(super) processor: f64,
}

/// Sends `request` to `proxy` over so many connections for `time`.
pub(super) fn measure(
    proxy: &Program,
    request: &[u8],
    connections: usize,
    time: Duration,
) -> io::Result<Throughput> {
    let threads = workers::count();
    let barrier = Barrier::new(threads + 1);
    let (address, share) = (proxy.address(), connections / threads);
    std::thread::scope(|scope| {
        let each = || scope.spawn(|| thread(address, request, share, &barrier, time));
        let running: Vec<_> = (0..threads).map(|_| each()).collect();
        barrier.wait();
        let (began, before) = (Tick::now(), proxy.processor_time()?);
        let mut requests = 0;
        for thread in running {
            requests += thread.join().map_err(|_| io::Error::other("a thread panicked"))??;
        }
        let (took, used) = (Tick::now().since(began), proxy.processor_time()? - before);
        let requests = requests as f64;
        Ok(Throughput {
            per_second: requests / took.as_secs_f64(),
            processor: used.as_secs_f64() * 1e6 / requests,
        })
    })
}

fn thread(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    barrier: &Barrier,
    time: Duration,
) -> io::Result<u64> {
    let runtime = workers::runtime()?;
    let opened = runtime.block_on(open(address, request, connections));
    // Also after an error: the others wait here.
    barrier.wait();
    let end = Tick::now() + time;
    let request: &'static [u8] = request.to_vec().leak();
    runtime.block_on(async {
        let tasks: Vec<_> =
            opened?.into_iter().map(|it| tokio::spawn(repeat(it, request, end))).collect();
        let mut sent = 0;
        for task in tasks {
            sent += task.await.map_err(io::Error::other)??;
        }
        Ok(sent)
    })
}

async fn open(address: SocketAddr, request: &[u8], count: usize) -> io::Result<Vec<Connection>> {
    let mut opened = Vec::new();
    for _ in 0..count {
        opened.push(Connection::open(address).await?);
    }
    for _ in 0..WARM_UP {
        for connection in &mut opened {
            connection.call(request).await?;
        }
    }
    Ok(opened)
}

async fn repeat(mut connection: Connection, request: &[u8], end: Tick) -> io::Result<u64> {
    let mut sent = 0;
    while Tick::now() < end {
        connection.call(request).await?;
        sent += 1;
    }
    Ok(sent)
}
