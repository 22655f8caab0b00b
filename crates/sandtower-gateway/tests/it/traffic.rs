//! What passes, and how it looks on both sides.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::{Caller, World, until};

fn parsed(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn a_sandbox_is_created_used_and_killed() {
    let world = World::new(&[]).await;
    let (id, token) = world.create().await;

    let write = world.inside("POST", "/files?path=/home/user/a.txt&username=user", &id, &token);
    let write = write.header("content-type", "application/octet-stream");
    let written = world.send(write.body(Full::from("content")).unwrap()).await;
    assert_eq!(written.status(), 200, "{:?}", written.body());
    let read = world.inside("GET", "/files?path=/home/user/a.txt&username=user", &id, &token);
    assert_eq!(world.send(read.body(Full::default()).unwrap()).await.body(), "content");

    let killed = world.control("DELETE", &format!("/sandboxes/{id}"), None).await;
    assert_eq!(killed.status(), 204);
    assert_eq!(world.sim.active(), 0);
    let gone = world.inside("GET", "/health", &id, &token).body(Full::default()).unwrap();
    let gone = world.send(gone).await;
    assert_eq!(
        (gone.status(), &gone.headers()["should-retry"]),
        (StatusCode::BAD_GATEWAY, &"false".parse().unwrap())
    );
    assert_eq!(parsed(gone.body())["message"], "The sandbox was not found");
}

#[tokio::test]
async fn marks_are_on_the_sandbox_and_no_caller_sees_them() {
    let world = World::new(&[]).await;
    let (id, _) = world.create().await;
    for path in ["/v2/sandboxes".to_owned(), "/sandboxes".to_owned(), format!("/sandboxes/{id}")] {
        let shown = world.control("GET", &path, None).await;
        let text = String::from_utf8_lossy(shown.body()).into_owned();
        assert!(text.contains(&id) && text.contains("\"user\":\"u\""), "{path}: {text}");
        assert!(!text.contains("sandtower_"), "{path}: {text}");
    }
    let filtered = world.control("GET", "/v2/sandboxes?metadata=sandtower_owner%3Dgateway", None);
    assert_eq!(parsed(filtered.await.body()).as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_a_response_says_about_its_way() {
    let world = World::new(&[]).await;
    let request = Request::get(world.uri("/health")).header("x-request-id", "mine");
    let response = world.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(response.headers()["x-request-id"], "mine");
    let timing = response.headers()["server-timing"].to_str().unwrap();
    assert!(timing.starts_with("total;dur="), "{timing}");
}

#[tokio::test]
async fn a_request_without_its_headers_is_routed_by_its_token_or_signature() {
    let world = World::new(&[]).await;
    let unclear = world.uri("/files?path=a&username=user");
    let request = || Request::get(&unclear);
    let response = world.send(request().body(Full::default()).unwrap()).await;
    assert_eq!(response.status(), 400, "{:?}", response.body());
    let (_, first) = world.create().await;
    let (second, token) = world.create().await;
    let write = world.inside("POST", "/files?path=a&username=user", &second, &token);
    let write = write.header("content-type", "application/octet-stream");
    assert_eq!(world.send(write.body(Full::from("2")).unwrap()).await.status(), 200);

    let by_token = request().header("x-access-token", &token).body(Full::default()).unwrap();
    assert_eq!(world.send(by_token).await.body(), "2");
    let other = request().header("x-access-token", &first).body(Full::default()).unwrap();
    assert_eq!(world.send(other).await.status(), 404);
    let stranger = request().header("x-access-token", "made-up").body(Full::default()).unwrap();
    assert_eq!(world.send(stranger).await.status(), 401);
    // That it is not there for a stranger, changes nothing.
    let stranger = Caller::new(world.address(), "e2b_0123");
    let killed = stranger.control("DELETE", &format!("/sandboxes/{second}"), None).await;
    assert_eq!(killed.status(), 404);
    let signed = {
        use base64::Engine as _;
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(format!("a:read:user:{token}"));
        let digest = base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest);
        let standard = digest.replace('+', "%2B").replace('/', "%2F");
        format!("{unclear}&signature=v1_{standard}")
    };
    let signed = Request::get(signed).body(Full::default()).unwrap();
    let response = world.send(signed).await;
    assert_eq!((response.status(), &response.body()[..]), (StatusCode::OK, &b"2"[..]));
}

#[tokio::test]
async fn what_is_safe_to_repeat_is_repeated_and_a_final_failure_says_so() {
    let world = World::new(&["client_timeout=8s"]).await;
    let (id, _) = world.create().await;
    world.faults(json!([
        {"name": "failing", "kind": "respond", "response": "internal_500", "on": ["sandbox_info"]},
    ]));
    let failed = world.control("GET", &format!("/sandboxes/{id}"), None).await;
    assert_eq!(
        (failed.status().as_u16(), &failed.headers()["should-retry"]),
        (500, &"false".parse().unwrap())
    );
    let timing = failed.headers()["server-timing"].to_str().unwrap();
    assert!(timing.matches("attempt;dur=").count() == 4, "{timing}");
}

/// What the gateway logs as the client's address, and says of it to the service.
async fn client_of(settings: &[&str], said: &[&str]) -> (String, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let upstream = [format!("upstream.api_url={url}"), format!("upstream.sandbox_url={url}")];
    let all: Vec<_> = upstream.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    let world = World::new(&all).await;
    let said = said.iter().map(|said| format!("{said}\r\n")).collect::<String>();
    let request = format!(
        "GET /health HTTP/1.1\r\nhost: gw\r\ne2b-sandbox-id: i0\r\ne2b-sandbox-port: 3000\r\n{said}\r\n"
    );
    world.raw(request.as_bytes()).await;
    until("it is logged", || world.log.text().contains("\"client\":")).await;
    let logged: Value = serde_json::from_str(world.log.text().lines().next().unwrap()).unwrap();
    let forwarded = service.await.unwrap().to_lowercase();
    let about = ["x-forwarded-for", "x-real-ip", "forwarded:"];
    let told = forwarded.lines().filter(|line| about.iter().any(|it| line.starts_with(it)));
    (logged["client"].as_str().unwrap().to_owned(), told.map(str::to_owned).collect())
}

#[tokio::test]
async fn only_named_proxies_tell_the_address_of_the_client() {
    let spoofed: &[&str] = &[
        "X-Forwarded-For: 1.1.1.1",
        "x-forwarded-for: 198.51.100.7",
        "X-Real-IP: 1.1.1.1",
        "Forwarded: for=1.1.1.1",
    ];
    for (settings, client) in [
        (&[][..], "127.0.0.1"),
        (&[r#"trusted_proxies=["10.0.0.0/8"]"#], "127.0.0.1"),
        (&[r#"trusted_proxies=["127.0.0.0/8"]"#], "198.51.100.7"),
        (&[r#"trusted_proxies=["127.0.0.1", "198.51.100.0/24"]"#], "1.1.1.1"),
    ] {
        let expected = (client.to_owned(), vec![format!("x-forwarded-for: {client}")]);
        assert_eq!(client_of(settings, spoofed).await, expected, "{settings:?}");
    }
}
