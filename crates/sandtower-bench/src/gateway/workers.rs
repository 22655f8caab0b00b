//! Threads with a runtime of their own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// As many as there are processors.
pub(super) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Serves connections in one thread per processor, each with a listener on the same port, until the process
/// ends.
pub(super) fn listen<F>(
    address: SocketAddr,
    serve: impl Fn(usize, TcpStream) -> F + Clone + Send + 'static,
) -> io::Result<SocketAddr>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut address = address;
    for worker in 0..count() {
        let runtime = runtime()?;
        let listener = bind(&runtime, address)?;
        address = listener.local_addr()?;
        let serve = serve.clone();
        std::thread::spawn(move || {
            runtime.block_on(async {
                while let Ok((stream, _)) = listener.accept().await {
                    drop(stream.set_nodelay(true));
                    tokio::spawn(serve(worker, stream));
                }
            });
        });
    }
    Ok(address)
}

fn bind(runtime: &Runtime, address: SocketAddr) -> io::Result<TcpListener> {
    let _runtime = runtime.enter();
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(1_024)
}
