//! A drain cuts no stream.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::support::World;

const STREAMS: usize = 500;
/// Each runs as many commands as it can.
const SANDBOXES: usize = 5;

/// One frame of Connect's with this message.
fn frame(message: &str) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message.bytes());
    frame
}

/// A command that says "done" after 10 s, in a stream that has begun.
async fn started(gateway: SocketAddr, id: String, token: String) -> TcpStream {
    let body = frame(
        r#"{"process":{"cmd":"/bin/bash","args":["-l","-c","sleep 10; echo done"]},"stdin":false}"#,
    );
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let head = format!(
        "POST /process.Process/Start HTTP/1.1\r\nhost: gw\r\ne2b-sandbox-id: {id}\r\n\
         e2b-sandbox-port: 49983\r\nx-access-token: {token}\r\ncontent-type: application/connect+json\r\n\
         connect-protocol-version: 1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut read = [0; 12];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn a_drain_under_load_cuts_none_of_500_streams() {
    let world = World::new(&[]).await;
    let mut sandboxes = Vec::new();
    for _ in 0..SANDBOXES {
        sandboxes.push(world.create().await);
    }
    let mut starting = JoinSet::new();
    for (id, token) in sandboxes.into_iter().cycle().take(STREAMS) {
        starting.spawn(started(world.address(), id, token));
    }
    let streams = starting.join_all().await;
    assert_eq!(world.gateway.in_flight(), STREAMS);
    let reading = async {
        let mut whole = 0;
        for mut stream in streams {
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            let text = String::from_utf8_lossy(&read);
            // "done\n" in base64, and the last chunk.
            assert!(text.contains("ZG9uZQo=") && text.contains("0\r\n\r\n"), "{text}");
            whole += 1;
        }
        whole
    };
    let (is_done, whole) = tokio::join!(world.gateway.drain(), reading);
    assert!(is_done);
    assert_eq!((whole, world.sim.active()), (STREAMS, SANDBOXES));
    assert!(TcpStream::connect(world.address()).await.is_err(), "nothing listens");
}
