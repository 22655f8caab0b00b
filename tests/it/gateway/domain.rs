//! The SDKs reach the gateway by names under its domain, over TLS.

use std::ffi::OsStr;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::any;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::World;
use crate::js_sdk;
use crate::python_sdk::{self, leave_out, python};

const DOMAIN: &str = "gw.localhost";

/// Whether names under the domain resolve; if not, the test is left out, but never in CI.
fn names_resolve() -> bool {
    let name = format!("49983-sandbox.{DOMAIN}:443");
    let resolves = name.to_socket_addrs().is_ok();
    if !resolves {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{name} does not resolve");
        leave_out("gateway::domain", DOMAIN);
    }
    resolves
}

/// An authority of the test's own and a certificate of the gateway's, in files that are gone with this.
struct Certificates([PathBuf; 3]);

impl Certificates {
    fn new(name: &str) -> Self {
        let file = |kind| {
            let file = format!("sandtower-{}-{name}.{kind}.pem", std::process::id());
            std::env::temp_dir().join(file)
        };
        let files = [file("authority"), file("certificate"), file("key")];
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // A certificate with the name of its issuer is taken for a self-signed one.
        authority.distinguished_name.push(DnType::CommonName, "authority of a test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(&files[0], authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")];
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        std::fs::write(&files[1], certificate.pem()).unwrap();
        std::fs::write(&files[2], key.serialize_pem()).unwrap();
        Self(files)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.0.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

impl World {
    /// Reached under the domain alone, and the environment that makes the SDKs do so.
    async fn under_domain(
        certificates: &Certificates,
        settings: &[&str],
    ) -> (Self, Vec<(&'static str, String)>) {
        let [authority, certificate, key] = certificates.0.each_ref().map(|file| file.display());
        let own = [
            format!("domain={DOMAIN}"),
            format!("tls.certificate={certificate}"),
            format!("tls.key={key}"),
        ];
        let all: Vec<_> = own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
        let world = Self::new(&all).await;
        // Known now, and part of the domain of new sandboxes.
        let domain = format!("{DOMAIN}:{}", world.gateway.address().port());
        let source = world.source.clone().set(&format!("domain={domain}")).unwrap();
        world.gateway.reload(source.read().unwrap()).unwrap();
        let authority = authority.to_string();
        let environment = vec![
            ("E2B_DOMAIN", domain),
            ("SSL_CERT_FILE", authority.clone()),
            ("NODE_EXTRA_CA_CERTS", authority),
        ];
        (world, environment)
    }
}

/// Runs a script under the domain, whose SDK has to choose HTTP/2: what it prints.
fn run(program: &OsStr, script: &str) -> String {
    let certificates = Certificates::new(&script.replace(['/', '.'], "-"));
    Runtime::new().unwrap().block_on(async {
        let (world, environment) = World::under_domain(&certificates, &[]).await;
        let printed = world.run(program, script, &[], &environment).await;
        let count = |protocol| world.log.count(&format!(r#""protocol":"{protocol}""#));
        let (first, second) = (count("HTTP/1.1"), count("HTTP/2"));
        assert!(second > 0, "{script}: {first} requests by HTTP/1.1, {second} by HTTP/2");
        let ledger = world.end().await;
        assert_eq!(ledger.paused, 0, "{script}: {ledger:?}");
        printed
    })
}

#[test]
fn the_python_sdk_works_by_names_and_tls() {
    let (Some(python), true) = (python(), names_resolve()) else { return };
    for (script, prints) in [
        ("python_sdk/tour.py", python_sdk::TOUR),
        ("python_sdk/tour_async.py", "life\ncommands\nfiles\nsnapshots\npauses\nat_once\n"),
        ("python_sdk/code.py", "done\n"),
    ] {
        assert_eq!(run(&python, script), prints, "{script}");
    }
}

#[test]
fn the_js_sdk_works_by_names_and_tls() {
    if !js_sdk::is_set_up() || !names_resolve() {
        return;
    }
    for (script, prints) in [("js_sdk/tour.mjs", js_sdk::TOUR), ("js_sdk/code.mjs", "done\n")] {
        assert_eq!(run(OsStr::new("node"), script), prints, "{script}");
    }
}

#[test]
fn a_websocket_reaches_a_users_program_by_the_sdks_host() {
    if !js_sdk::is_set_up() || !names_resolve() {
        return;
    }
    let certificates = Certificates::new("websocket");
    Runtime::new().unwrap().block_on(async {
        let program = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("upstream.sandbox_url=http://{}", program.local_addr().unwrap());
        let echoing = tokio::spawn(axum::serve(program, echo()).into_future());
        // The program is no envd.
        let settings = [url.as_str(), r#"stack.disable=["health_check"]"#];
        let (world, environment) = World::under_domain(&certificates, &settings).await;
        let printed =
            world.run(OsStr::new("node"), "js_sdk/websocket.mjs", &[], &environment).await;
        assert_eq!(printed, "first\nsecond\ndone\n");
        world.end().await;
        echoing.abort();
    });
}

/// A program that sends each message of a websocket back.
fn echo() -> Router {
    let sends_back = async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            drop(socket.send(message).await);
        }
    };
    Router::new().route("/socket", any(async move |ws: WebSocketUpgrade| ws.on_upgrade(sends_back)))
}
