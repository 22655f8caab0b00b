use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{Browser, Site, TOKEN};

const RESET: &str = "/api/v1/breakers/data_plane/force_open";

/// Header fields, and the statuses that reject them.
type Try<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);

/// A request for a change with these header fields alone.
fn attempt(site: &Site, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = site.request("POST", RESET).header("content-type", "application/json");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body("{}".into()).unwrap()
}

async fn none_works(site: &Site, tries: &[Try<'_>]) {
    for (what, fields, expected) in tries {
        let response = site.send(attempt(site, fields)).await;
        assert_eq!(response.status().as_u16(), *expected, "{what}: {}", response.body());
        assert!(!response.headers().contains_key("access-control-allow-origin"), "{what}");
    }
    let breakers = site.read("/api/v1/breakers").await;
    assert_eq!(breakers["rows"][0]["state"], "closed", "nothing was changed");
    let audit = site.read("/api/v1/audit").await;
    let denied = audit.as_array().unwrap().iter().filter(|it| it["result"] == "denied");
    assert_eq!(denied.count(), tries.len(), "{audit}");
}

#[tokio::test]
async fn programs_without_the_token_change_nothing() {
    let site = Site::new(&[]).await;
    let own = format!("http://{}", site.address());
    let whole = format!("Bearer {TOKEN}");
    let (lower, longer, cut) =
        (format!("bearer {TOKEN}"), format!("Bearer {TOKEN}0"), format!("Bearer {}", &TOKEN[1..]));
    none_works(
        &site,
        &[
            ("no token", &[], 401),
            ("no token, same origin", &[("origin", &own)], 401),
            ("an empty token", &[("authorization", "Bearer ")], 401),
            ("a wrong token", &[("authorization", "Bearer 0123456789abcdef01234567")], 401),
            ("a longer token", &[("authorization", &longer)], 401),
            ("a part of the token", &[("authorization", &cut)], 401),
            ("another scheme", &[("authorization", "Basic OjVlYzVlNw==")], 401),
            ("the scheme in other letters", &[("authorization", &lower)], 401),
            ("the token as a cookie", &[("cookie", TOKEN)], 401),
            ("the token in a field of its own", &[("x-api-key", TOKEN)], 401),
            (
                "the token from a page elsewhere",
                &[("authorization", &whole), ("origin", "http://evil.test")],
                403,
            ),
            (
                "the same, as the browser says",
                &[("authorization", &whole), ("sec-fetch-site", "cross-site")],
                403,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn pages_from_elsewhere_change_nothing_with_the_cookie_of_a_browser() {
    let site = Site::new(&[]).await;
    let Browser { cookie, csrf } = site.log_in().await;
    let Browser { csrf: other, .. } = site.log_in().await;
    let own = format!("http://{}", site.address());
    let port = site.address().port() + 1;
    let neighbour = format!("http://127.0.0.1:{port}");
    let (cookie, csrf) = (("cookie", &*cookie), ("x-csrf-token", &*csrf));
    let own = ("origin", &*own);
    none_works(
        &site,
        &[
            ("no origin", &[cookie, csrf], 403),
            ("another origin", &[cookie, csrf, ("origin", "http://evil.test")], 403),
            ("no origin to speak of", &[cookie, csrf, ("origin", "null")], 403),
            ("a neighbour of the same host", &[cookie, csrf, ("origin", &neighbour)], 403),
            ("a longer name", &[cookie, csrf, ("origin", "http://127.0.0.1.evil.test")], 403),
            ("cross-site", &[cookie, csrf, own, ("sec-fetch-site", "cross-site")], 403),
            ("same-site", &[cookie, csrf, own, ("sec-fetch-site", "same-site")], 403),
            ("no token of the session", &[cookie, own], 403),
            ("an empty one", &[cookie, own, ("x-csrf-token", "")], 403),
            ("that of another session", &[cookie, own, ("x-csrf-token", &other)], 403),
            ("no cookie", &[csrf, own], 401),
            ("a made-up cookie", &[("cookie", "sandtower_1=00"), csrf, own], 401),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_session_that_has_ended_cannot_be_replayed() {
    let site = Site::new(&[]).await;
    let browser = site.log_in().await;
    let press = async |path| site.press(&browser, path, json!({})).await.status().as_u16();
    assert_eq!(press("/api/v1/breakers/data_plane/reset").await, 200, "it works until then");
    assert_eq!(press("/logout").await, 204);
    assert_eq!(press("/api/v1/breakers/data_plane/reset").await, 401);
}

#[tokio::test]
async fn names_that_others_direct_here_read_and_change_nothing() {
    let site = Site::new(&["admin.hosts=[\"ops.example.com\"]"]).await;
    let Browser { cookie, csrf } = site.log_in().await;
    for (host, expected) in [
        ("evil.test", 421),
        ("evil.test:4001", 421),
        ("127.0.0.1.evil.test", 421),
        ("localhost.evil.test", 421),
        ("ops.example.com.evil.test", 421),
        ("", 421),
        ("localhost", 200),
        ("ops.example.com", 200),
        ("OPS.example.com:443", 200),
        ("[::1]:4001", 200),
    ] {
        let read = raw(&site, &format!("GET /api/v1/overview HTTP/1.1\r\nhost: {host}\r\n")).await;
        assert_eq!(read, expected, "{host}");
        let change = format!(
            "POST {RESET} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\ncookie: {cookie}\r\nx-csrf-token: {csrf}\r\n"
        );
        if expected == 421 {
            assert_eq!(raw(&site, &change).await, 421, "{host}");
        }
    }
    let twice = "GET /api/v1/overview HTTP/1.1\r\nhost: localhost\r\nhost: evil.test\r\n";
    assert!([400, 421].contains(&raw(&site, twice).await));
}

/// The status of the response to a head; 0: there is none.
async fn raw(site: &Site, head: &str) -> u16 {
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    let whole = format!("{head}connection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(whole.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    // It may close the connection at once.
    drop(stream.read_to_end(&mut read).await);
    let read = String::from_utf8_lossy(&read);
    read.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn paths_methods_and_bodies_that_are_none_get_a_clean_no() {
    let site = Site::new(&[]).await;
    let token = format!("authorization: Bearer {TOKEN}\r\n");
    for (line, expected) in [
        ("GET /api/v1/../v1/drain", &[404][..]),
        ("GET /assets/../openapi.json", &[404]),
        ("GET /assets/%2e%2e/%2e%2e/etc/passwd", &[404]),
        ("GET //evil.test/", &[404]),
        ("GET /api/v1/breakers/..%2F..%2Fdrain/reset", &[404, 405]),
        ("GET /api/v1/drain", &[405]),
        ("HEAD /api/v1/drain", &[405]),
        ("POST /api/v1/overview", &[405]),
        ("POST /", &[405]),
        ("PUT /api/v1/limits", &[405]),
        ("DELETE /api/v1/drain", &[405]),
        ("OPTIONS /api/v1/drain", &[405]),
        ("TRACE /api/v1/overview", &[405]),
        ("BREW /api/v1/overview", &[405]),
        ("CONNECT evil.test:80", &[400, 404, 405, 421]),
        ("GET http://evil.test/api/v1/overview", &[200]),
        ("POST /api/v1/breakers/%00/reset", &[404]),
        ("POST /api/v1/breakers/%ff/reset", &[400, 404]),
        ("GET /api/v1/events?page=/nowhere", &[404]),
        ("GET /api/v1/events?page=%ff", &[400, 404]),
        ("GET /api/v1/history?stack=../../etc", &[404]),
        ("GET /api/v1/keys/..%2f..%2fdrain", &[404]),
    ] {
        let status = raw(&site, &format!("{line} HTTP/1.1\r\nhost: localhost\r\n{token}")).await;
        assert!(expected.contains(&status), "{line}: {status}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n{token}", "a".repeat(100_000));
    assert!([0, 414, 431].contains(&raw(&site, &long).await));
    let body = "x".repeat(70_000);
    let request =
        site.request("POST", "/api/v1/limits").header("authorization", format!("Bearer {TOKEN}"));
    let response = site.send(request.body(body.into()).unwrap()).await;
    assert_eq!(response.status(), 413, "{}", response.body());
    let form =
        site.request("POST", "/login").header("content-type", "application/x-www-form-urlencoded");
    let response = site.send(form.body("t".repeat(70_000).into()).unwrap()).await;
    assert_eq!(response.status(), 413);
    let audit = site.read("/api/v1/audit").await;
    let is_done = |entry: &serde_json::Value| entry["result"] == "done";
    assert!(!audit.as_array().unwrap().iter().any(is_done), "nothing was changed: {audit}");
}

#[tokio::test]
async fn a_login_leads_to_a_page_and_nowhere_else() {
    let site = Site::new(&[]).await;
    for next in [
        "//evil.test",
        "https://evil.test",
        "/\\evil.test",
        "/logout",
        "/%2f",
        "javascript:alert(1)",
    ] {
        let request = site
            .request("POST", "/login")
            .header("content-type", "application/x-www-form-urlencoded");
        let form = format!("token={TOKEN}&next={next}");
        let response = site.send(request.body(form.into()).unwrap()).await;
        assert_eq!(response.headers()["location"], "/", "{next}");
        let shown = site.get(&format!("/login?next={}", next.replace('\\', "%5c"))).await;
        assert!(shown.body().contains("name=\"next\" value=\"/\""), "{next}");
    }
    let elsewhere = site.request("POST", "/login").header("origin", "http://evil.test");
    let response = site.send(elsewhere.body(format!("token={TOKEN}").into()).unwrap()).await;
    assert_eq!(response.status(), 403, "a page from elsewhere logs no one in");
}

#[tokio::test]
async fn guessing_ends_after_ten_tries_and_sessions_go_on() {
    let site = Site::new(&[]).await;
    let browser = site.log_in().await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let request = site
            .request("POST", "/login")
            .header("content-type", "application/x-www-form-urlencoded");
        let response = site.send(request.body("token=0123456789abcdef".into()).unwrap()).await;
        statuses.push(response.status().as_u16());
        assert!(response.body().contains("role=\"alert\""), "the form says why");
    }
    assert_eq!(statuses, [vec![401; 10], vec![429; 2]].concat());
    let (status, _) = site.change("/api/v1/breakers/data_plane/reset", json!({})).await;
    assert_eq!(status, 429, "the right one has to wait as well");
    let response = site.press(&browser, "/api/v1/breakers/data_plane/reset", json!({})).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn pages_from_elsewhere_embed_nothing() {
    let site = Site::new(&[]).await;
    for (site_field, mode, expected) in [
        ("cross-site", "no-cors", 403),
        ("cross-site", "cors", 403),
        ("same-site", "no-cors", 403),
        ("cross-site", "navigate", 200),
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
    ] {
        let request = site.request("GET", "/api/v1/overview");
        let request = request.header("sec-fetch-site", site_field).header("sec-fetch-mode", mode);
        let response = site.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(response.status().as_u16(), expected, "{site_field} {mode}");
    }
}
