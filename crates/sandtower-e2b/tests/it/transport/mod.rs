//! The transport, over loopback: TLS, HTTP/2, proxies, reuse, and whether the request was sent.

mod net;
mod silent;
mod upload;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use net::{Authority, Proxy, Server};
use sandtower_core::{BoxError, Effect, EndOfStream, Outcome, Tick, Verdict, find};
use sandtower_e2b::{
    Client, Config, ConnectTimedOut, Error, Hint, HttpTransport, HttpTransportBuilder, NewSandbox,
    TransportBody,
};
use sandtower_http::verdict_of_transport;
use tokio::net::TcpListener;
use tower::ServiceExt;

fn straight() -> HttpTransportBuilder {
    HttpTransport::builder().no_proxy()
}

async fn get(transport: &HttpTransport, uri: &str) -> Result<Response<TransportBody>, BoxError> {
    let request = Request::get(uri).body(Full::<Bytes>::default()).unwrap();
    transport.clone().oneshot(request).await
}

/// The HTTP version of the request, as the server saw it.
async fn version(transport: &HttpTransport, uri: &str) -> String {
    let response = get(transport, uri).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

#[tokio::test]
async fn a_server_is_trusted_by_its_own_root_and_by_no_other() {
    let authority = Authority::new();
    let server = Server::tls(&authority, &["http/1.1"]).await;
    let trusting = straight().root_certificates(authority.pem()).only_own_roots().build().unwrap();
    assert_eq!(version(&trusting, &server.uri).await, "HTTP/1.1");

    for other in [straight(), straight().root_certificates(Authority::new().pem())] {
        let error = get(&other.build().unwrap(), &server.uri).await.unwrap_err();
        assert_eq!(verdict_of_transport(&*error).effect, Effect::None, "{error:?}");
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn the_server_chooses_the_version_of_http() {
    let authority = Authority::new();
    let transport = straight().root_certificates(authority.pem()).build().unwrap();
    for (offers, expected) in
        [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
    {
        let server = Server::tls(&authority, offers).await;
        assert_eq!(version(&transport, &server.uri).await, expected, "{offers:?}");
    }
    assert_eq!(version(&transport, &Server::plain().await.uri).await, "HTTP/1.1");
}

#[tokio::test]
async fn connections_are_used_again() {
    let authority = Authority::new();
    let transport = straight().root_certificates(authority.pem()).build().unwrap();
    for server in [Server::tls(&authority, &["http/1.1"]).await, Server::plain().await] {
        for _ in 0..5 {
            version(&transport, &server.uri).await;
        }
        assert_eq!((server.connections(), server.requests()), (1, 5));
    }
}

#[tokio::test]
async fn one_connection_of_http_2_carries_all_requests_at_once() {
    let authority = Authority::new();
    let transport = straight().root_certificates(authority.pem()).build().unwrap();
    let server = Server::tls(&authority, &["h2"]).await;
    version(&transport, &server.uri).await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (transport, uri) = (transport.clone(), server.uri.clone());
        requests.spawn(async move { version(&transport, &uri).await });
    }
    assert!(requests.join_all().await.iter().all(|version| version == "HTTP/2.0"));
    assert_eq!((server.connections(), server.requests()), (1, 11));
}

#[tokio::test]
async fn a_proxy_is_tunnelled_through_with_credentials_and_exceptions() {
    let authority = Authority::new();
    let proxy = Proxy::start(Some("Basic dTpzZWNyZXQ=")).await;
    let servers = [Server::tls(&authority, &["h2"]).await, Server::plain().await];
    let through = |except: &str| {
        let builder = HttpTransport::builder().root_certificates(authority.pem());
        builder.proxy(&format!("http://u:secret@{}", proxy.address), except).build().unwrap()
    };
    let transport = through("");
    assert_eq!(version(&transport, &servers[0].uri).await, "HTTP/2.0");
    assert_eq!(version(&transport, &servers[1].uri).await, "HTTP/1.1");
    assert_eq!(proxy.tunnels(), 2);
    let beside = through("127.0.0.0/8");
    assert_eq!(version(&beside, &servers[0].uri).await, "HTTP/2.0");
    assert_eq!(proxy.tunnels(), 2);
}

#[tokio::test]
async fn a_proxy_that_rejects_the_tunnel_means_that_nothing_was_sent() {
    let proxy = Proxy::start(Some("Basic another")).await;
    let server = Server::plain().await;
    let url = format!("http://u:secret@{}", proxy.address);
    let transport = HttpTransport::builder().proxy(&url, "").build().unwrap();
    let error = get(&transport, &server.uri).await.unwrap_err();
    assert_eq!(verdict_of_transport(&*error).effect, Effect::None);
    assert!(!format!("{error} {error:?}").contains("secret"));
    assert_eq!((proxy.tunnels(), server.requests()), (0, 0));
}

/// The clock is paused: the timeout fires as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_server_without_a_handshake_fails_after_the_connect_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}/", silent.local_addr().unwrap());
    let after = Duration::from_secs(7);
    let transport = straight().connect_timeout(after).build().unwrap();
    let started = Tick::now();
    let error = get(&transport, &uri).await.unwrap_err();
    assert_eq!(find::<ConnectTimedOut>(&*error).map(|timed_out| timed_out.after), Some(after));
    assert_eq!(verdict_of_transport(&*error).effect, Effect::None);
    let waited = Tick::now().since(started);
    assert!(waited >= after && waited < after + Duration::from_millis(10), "{waited:?}");
}

#[test]
fn no_duration_overflows_when_the_transport_is_used() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::plain().await;
        for exponent in 0..=64 {
            let seconds = u64::MAX.checked_shr(64 - exponent).unwrap_or(0);
            for limit in
                [Duration::from_secs(seconds), Duration::MAX, Duration::from_nanos(seconds)]
            {
                // It is rejected when it is set, or works.
                if let Ok(transport) = straight().idle_timeout(limit).build() {
                    version(&transport, &server.uri).await;
                }
                if let Ok(transport) = straight().connect_timeout(limit).build()
                    && limit > Duration::from_secs(1)
                {
                    version(&transport, &server.uri).await;
                }
            }
        }
        // Panics of background tasks would be missed: the pool's is polled once more.
        tokio::task::yield_now().await;
        let error = straight().idle_timeout(Duration::MAX).build().unwrap_err();
        assert_eq!(error.to_string(), "`idle_timeout` must be at most 365 days");
    });
}

#[test]
fn the_hosts_of_a_configuration_are_checked_without_sending_anything() {
    let config = Config::new("e2b_key").unwrap();
    straight().build().unwrap().check(&config).unwrap();
    let proxied = HttpTransport::builder().proxy("http://proxy.test:3128", "").build().unwrap();
    proxied.check(&config).unwrap();
}

#[tokio::test]
async fn a_long_body_that_breaks_off_is_reported_at_its_end() {
    let (server, transport) =
        (Server::whose_bodies_break(200_000).await, straight().build().unwrap());
    let response = get(&transport, &server.uri).await.unwrap();
    let end = response.extensions().get::<EndOfStream>().unwrap().clone();
    let (report, reported) = std::sync::mpsc::channel();
    end.then(move |verdict| report.send(verdict).unwrap());
    assert!(reported.try_recv().is_err(), "it is not over");
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(reported.try_recv(), Ok(Verdict::transient(Effect::Maybe)));
    let short = get(&transport, &Server::plain().await.uri).await.unwrap();
    assert!(short.extensions().get::<EndOfStream>().is_none(), "it costs nothing");
}

#[tokio::test]
async fn errors_of_the_transport_say_whether_the_request_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = |uri: &str| Config::new("e2b_key").unwrap().api_url(uri).unwrap();
    let client = |uri: &str| Client::new(straight().build().unwrap(), config(uri));
    let error = client(&format!("http://{free}")).create(&NewSandbox::new("base")).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::NoResponse { .. }));
    assert_eq!(error.verdict().outcome, Outcome::Transient);
    assert_eq!(error.hint(), Hint::Again { after: None });

    let server = Server::that_hangs_up().await;
    let error = client(server.uri.trim_end_matches('/')).create(&NewSandbox::new("base")).await;
    assert_eq!(error.unwrap_err().hint(), Hint::Look);
    assert_eq!(server.connections(), 1, "it was not sent again");
}
