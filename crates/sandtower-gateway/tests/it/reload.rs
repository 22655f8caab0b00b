//! A configuration and certificates that are read again while the gateway runs.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::certificate::{Certificate, DOMAIN};
use super::process::Process;
use super::support::{Caller, KEY, World, until};

/// A file with settings, gone with this.
struct File(PathBuf);

impl File {
    fn write(&self, limit: &str) {
        std::fs::write(
            &self.0,
            format!("owner = \"gateway\"\n[limits]\ncontrol_body = \"{limit}\"\n"),
        )
        .unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[tokio::test]
async fn at_a_hang_up_the_configuration_is_replaced_as_a_whole_or_not_at_all() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let server = sim.listen("127.0.0.1:0").await.unwrap();
    let name = format!("sandtower-{}-reload.toml", std::process::id());
    let file = File(std::env::temp_dir().join(name));
    file.write("1B");
    let url = server.url();
    let upstream = [format!("upstream.api_url={url}"), format!("upstream.sandbox_url={url}")];
    let gateway = Process::start([
        "--config",
        file.0.to_str().unwrap(),
        "--set",
        &upstream[0],
        "--set",
        &upstream[1],
    ]);
    let caller = Caller::new(gateway.address, KEY);
    let create = async || {
        let new = serde_json::json!({"templateID": "base"});
        caller.control("POST", "/v2/sandboxes", Some(new)).await.status().as_u16()
    };
    assert_eq!(create().await, 413);

    file.write("1MiB");
    gateway.signal("HUP");
    until("it is reloaded", || gateway.has_said("configuration reloaded")).await;
    assert_eq!(create().await, 201);

    file.write("big");
    gateway.signal("HUP");
    until("it is not", || gateway.has_said("configuration not reloaded")).await;
    let problem = format!("{}:3: limits.control_body", file.0.display());
    assert!(gateway.has_said(&problem), "with the line");
    assert_eq!(create().await, 201);
}

#[tokio::test]
async fn a_new_certificate_is_served_to_new_connections_and_a_bad_one_never() {
    let mut certificate = Certificate::new("reload");
    let settings = certificate.settings();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let world = World::new(&settings).await;
    // Each client trusts the certificate of this moment alone.
    let mut first = certificate.connect(world.address(), DOMAIN, "http/1.1").await;
    certificate.renew();
    world.gateway.reload(world.config(&settings)).unwrap();
    certificate.connect(world.address(), DOMAIN, "http/1.1").await;

    let [file, key] = &certificate.files;
    let (good, good_key) = (std::fs::read(file).unwrap(), std::fs::read(key).unwrap());
    let other = Certificate::new("other");
    let other_key = std::fs::read(&other.files[1]).unwrap();
    for (bad, bad_key, problem) in [
        (&b"garbage"[..], &good_key, "tls.certificate: it must be one or more certificates in PEM"),
        (&good, &b"garbage".to_vec(), "tls.key: it must be a private key in PEM"),
        (&good, &other_key, "tls.key: it must be the key of the certificate"),
    ] {
        std::fs::write(file, bad).unwrap();
        std::fs::write(key, bad_key).unwrap();
        let error = world.source(&settings).read().unwrap_err().to_string();
        assert_eq!(error, problem);
        // Also if the files change right after they were checked.
        std::fs::write(file, &good).unwrap();
        std::fs::write(key, &good_key).unwrap();
        let checked = world.config(&settings);
        std::fs::write(file, bad).unwrap();
        std::fs::write(key, bad_key).unwrap();
        assert_eq!(world.gateway.reload(checked).unwrap_err().to_string(), problem);
        certificate.connect(world.address(), DOMAIN, "http/1.1").await;
    }
    // What was connected before is not cut.
    first.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut read = [0; 12];
    first.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"HTTP/1.1 200");
}
