//! What operators see and do.

use std::sync::Arc;

use sandtower_gateway::Gateway;
use sandtower_gateway::admin;
use sandtower_gateway::config::{Config, Source};

use super::support;

fn config(settings: &[&str]) -> Config {
    let basis = [
        "upstream.api_url=http://127.0.0.1:1",
        "upstream.sandbox_url=http://127.0.0.1:1",
        "listen=127.0.0.1:0",
        "admin.listen=127.0.0.1:0",
        "workers=1",
    ];
    let all = basis.iter().chain(settings);
    all.into_iter().try_fold(Source::new(), |source, it| source.set(it)).unwrap().read().unwrap()
}

async fn ask(admin: &admin::Admin, method: &str, path: &str) -> String {
    let token = admin.made_token().unwrap().expose();
    support::ask(admin.address().unwrap(), Some(token), method, path).await
}

#[tokio::test]
async fn probes_tell_life_from_readiness() {
    let gateway = Arc::new(Gateway::start_logging(config(&[]), std::io::sink()).unwrap());
    let admin = admin::start(&gateway, config(&[]).admin, || Ok(config(&[]))).await.unwrap();
    assert!(ask(&admin, "GET", "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&admin, "GET", "/readyz").await.starts_with("HTTP/1.1 200"));
    let snapshot = ask(&admin, "GET", "/api/v1/snapshot").await;
    assert!(
        snapshot.contains("\"data_plane\"") && snapshot.contains("\"in_flight\":0"),
        "{snapshot}"
    );
    let metrics = ask(&admin, "GET", "/metrics").await;
    assert!(metrics.contains("source=\"data_plane\""), "{metrics}");
    assert!(gateway.drain().await);
    assert!(ask(&admin, "GET", "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&admin, "GET", "/readyz").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_reload_replaces_all_or_nothing() {
    let gateway = Arc::new(Gateway::start_logging(config(&[]), std::io::sink()).unwrap());
    let reloaded =
        gateway.reload(config(&["limits.control_body=1KiB", "listen=127.0.0.1:9"])).unwrap();
    assert_eq!(reloaded.needs_restart, ["listen"]);
    let mut bad = config(&[]);
    bad.upstream.root_certificates = Some("/nowhere.pem".into());
    assert!(gateway.reload(bad).is_err());
    let admin = admin::start(&gateway, config(&[]).admin, || {
        Source::new().set("client_timeout=900ms").unwrap().read()
    })
    .await
    .unwrap();
    let rejected = ask(&admin, "POST", "/api/v1/reload").await;
    assert!(
        rejected.starts_with("HTTP/1.1 422") && rejected.contains("client_timeout"),
        "{rejected}"
    );
}
