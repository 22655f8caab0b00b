//! A drain cuts no stream.

use std::time::Duration;

use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{World, until};

/// One frame of Connect's with this message.
fn frame(message: &str) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message.bytes());
    frame
}

#[tokio::test]
async fn streams_in_flight_end_by_themselves() {
    let world = World::new(&[]).await;
    let (id, token) = world.create().await;
    let command =
        r#"{"process":{"cmd":"/bin/bash","args":["-l","-c","sleep 2; echo done"]},"stdin":false}"#;
    let body = frame(command);
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!(
            "POST /process.Process/Start HTTP/1.1\r\nhost: gw\r\ne2b-sandbox-id: {id}\r\n\
             e2b-sandbox-port: 49983\r\nx-access-token: {token}\r\ncontent-type: application/connect+json\r\n\
             connect-protocol-version: 1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        streams.push(stream);
    }
    until("all are in flight", || world.gateway.in_flight() == 50).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let World { gateway, sim, .. } = &world;
    let reading = async {
        let mut whole = 0;
        for mut stream in streams {
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            let text = String::from_utf8_lossy(&read);
            // "done\n" in base64, and the last message.
            assert!(text.contains("ZG9uZQo=") && text.contains("0\r\n\r\n"), "{text}");
            whole += 1;
        }
        whole
    };
    let (is_done, whole) = tokio::join!(gateway.drain(), reading);
    assert!(is_done);
    assert_eq!((whole, sim.active()), (50, 1));
    assert!(TcpStream::connect(world.address()).await.is_err(), "nothing listens");
    drop(Full::<bytes::Bytes>::default());
}
