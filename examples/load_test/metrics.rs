//! The metrics of the stack, for Prometheus.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sandtower_telemetry::{Format, Registry};

/// The most that is read of a request, and the longest wait for it.
const HEAD: usize = 8_192;
const PATIENCE: Duration = Duration::from_secs(5);

/// Responds to every request with the metrics, one after the other, until the program ends. It has a thread
/// of its own, which the load does not disturb.
pub(crate) fn serve(address: SocketAddr, registry: Registry) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            // A scrape that breaks off comes again.
            let _ = respond(stream, &registry);
        }
    })?;
    Ok(address)
}

fn respond(mut stream: TcpStream, registry: &Registry) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut head, mut piece) = (Vec::new(), [0; 1_024]);
    while head.len() < HEAD && !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            read => head.extend_from_slice(&piece[..read]),
        }
    }
    let accepts = String::from_utf8_lossy(&head).contains("application/openmetrics-text");
    let format = if accepts { Format::OpenMetrics } else { Format::Text };
    let (content_type, body) = (format.content_type(), registry.encode(format));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}
