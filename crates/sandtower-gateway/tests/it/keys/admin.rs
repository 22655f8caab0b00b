//! The admin routes for keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use proptest::prelude::*;
use sandtower_gateway::config::Source;
use sandtower_gateway::{Gateway, admin};
use serde_json::{Value, json};

use super::world::Folder;

struct Routes {
    gateway: Arc<Gateway>,
    admin: admin::Admin,
    client: Client<HttpConnector, Full<Bytes>>,
    _folder: Folder,
}

impl Routes {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(more: &[&str]) -> Self {
        let folder = Folder::new();
        let own = folder.settings();
        let basis = [
            "upstream.api_url=http://127.0.0.1:1",
            "upstream.sandbox_url=http://127.0.0.1:1",
            "listen=127.0.0.1:0",
            "admin.listen=127.0.0.1:0",
            "workers=1",
        ];
        let mut source = Source::new();
        let more = own.iter().map(String::as_str).chain(more.iter().copied());
        for setting in basis.into_iter().chain(more) {
            source = source.set(setting).unwrap();
        }
        let config = source.read().unwrap();
        let gateway = Arc::new(Gateway::start_logging(config.clone(), std::io::sink()).unwrap());
        let admin = admin::start(&gateway, config.admin, move || source.read()).await.unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { gateway, admin, client, _folder: folder }
    }

    async fn send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> (StatusCode, String) {
        let uri = format!("http://{}{path}", self.admin.address().unwrap());
        let token = self.admin.made_token().unwrap().expose();
        let token = format!("Bearer {token}");
        let request = Request::builder().method(method).uri(uri).header("authorization", token);
        let request = request.body(Full::new(body.into())).unwrap();
        let response = self.client.request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.send(method, path, body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

#[tokio::test]
async fn a_key_is_created_changed_rotated_and_revoked() {
    let routes = Routes::new().await;
    let new = json!({"name": "search", "priority": "batch", "templates": ["base"],
        "limits": {"concurrent_sandboxes": 5, "creations_per_day": 100}});
    let (status, created) = routes.json("POST", "/api/v1/keys", new).await;
    assert_eq!(status, 201, "{created}");
    let secret = created["secret"].as_str().unwrap();
    assert!(secret.starts_with("e2b_") && secret.len() == 44);
    assert_eq!(created["upstream"], "team");
    assert_eq!(
        created["usage"]["concurrent_sandboxes"],
        json!({"used": 0, "limit": 5, "share": 0.0, "warning": false})
    );
    let path = format!("/api/v1/keys/{}", created["id"].as_str().unwrap());

    let (status, shown) = routes.json("GET", &path, Value::Null).await;
    assert_eq!((status.as_u16(), &shown["secret"]), (200, &Value::Null), "it is shown once");
    let (_, all) = routes.json("GET", "/api/v1/keys", Value::Null).await;
    assert_eq!(all, json!({"store": "available", "keys": [shown]}));

    let change = json!({"limits": {"concurrent_sandboxes": 2, "creations_per_day": null}});
    let (status, changed) = routes.json("PATCH", &path, change).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["limits"]["concurrent_sandboxes"], 2);
    assert_eq!(changed["limits"]["creations_per_day"], Value::Null);
    assert_eq!((&changed["priority"], &changed["templates"]), (&json!("batch"), &json!(["base"])));

    let (status, rotated) = routes.json("POST", &format!("{path}/rotate"), Value::Null).await;
    assert_eq!(status, 200, "{rotated}");
    assert_ne!(rotated["secret"].as_str().unwrap(), secret);
    let (status, rotated) =
        routes.json("POST", &format!("{path}/rotate"), json!({"grace_seconds": 60})).await;
    assert_eq!(status, 200);
    assert!(rotated["old_secret_until"].is_u64());

    let (status, revoked) = routes.json("DELETE", &path, Value::Null).await;
    assert_eq!((status.as_u16(), revoked["revoked"].is_u64()), (200, true));
    let (status, again) = routes.json("DELETE", &path, Value::Null).await;
    assert_eq!((status.as_u16(), &again), (200, &revoked));
    let (status, error) = routes.json("PATCH", &path, json!({"name": "x"})).await;
    assert_eq!(status, 409, "{error}");
}

#[tokio::test]
async fn an_error_says_which_field_is_wrong_and_what_would_be_right() {
    let routes = Routes::new().await;
    let secret = "e2b_5ec5e75ec5e75ec5e75ec5e75ec5e75ec5e75ec5";
    for (body, status, field, right) in [
        (json!({"name": ""}), 422, "`name`", "1 to 64 bytes"),
        (json!({"name": "a", "upstream": "other"}), 422, "`upstream`", "one of: team"),
        (json!({"name": "a", "priority": secret}), 400, "`priority`", "interactive"),
        (
            json!({"name": "a", "limits": {"concurrent_sandboxes": secret}}),
            400,
            "`limits.concurrent_sandboxes`",
            "u64",
        ),
        (
            json!({"name": "a", "limits": {"creations_per_minute": 1001}}),
            422,
            "`limits.creations_per_minute`",
            "at most 1000",
        ),
        (json!({"name": "a", "limits": {"per_minute": 1}}), 400, "`limits", "creations_per_minute"),
        (json!({"name": "a", "templates": "base"}), 400, "`templates`", "sequence"),
        (json!({"name": "a", "templates": [""]}), 422, "`templates`", "1 to 256 bytes"),
        (json!({}), 400, "`name`", "missing"),
        (json!([]), 400, "the body must be a JSON object", ""),
    ] {
        let (found, text) = routes.send("POST", "/api/v1/keys", body.to_string()).await;
        assert_eq!(found, status, "{body}: {text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        let error = error["error"].as_str().unwrap();
        assert!(error.contains(field) && error.contains(right), "{body}: {error}");
        assert!(!error.contains("5ec5e7"), "{error}");
    }
    let (status, text) = routes.send("POST", "/api/v1/keys", "{").await;
    assert_eq!(status, 400, "{text}");
    for id in ["0000000000000000", "x", "..", "%00", "'--"] {
        let (status, _) = routes.send("GET", &format!("/api/v1/keys/{id}"), "").await;
        assert_eq!(status, 404, "{id}");
    }
}

/// Several virtual keys share the stack of one key of E2B, each as a tenant.
#[tokio::test]
async fn each_key_is_a_tenant_of_the_stack_that_it_shares() {
    let routes = Routes::with(&["client_timeout=1s"]).await;
    for name in ["one", "other", "third"] {
        let (_, created) = routes.json("POST", "/api/v1/keys", json!({"name": name})).await;
        let request = Request::get(format!("http://{}/v2/sandboxes", routes.gateway.address()))
            .header("x-api-key", created["secret"].as_str().unwrap());
        let request = request.body(Full::default()).unwrap();
        let response = routes.client.request(request).await.unwrap();
        assert!(response.status().is_server_error(), "E2B is not there");
    }
    let (_, snapshot) = routes.json("GET", "/api/v1/snapshot", Value::Null).await;
    let stacks: Vec<_> = snapshot["keys"].as_object().unwrap().values().collect();
    assert_eq!(stacks.len(), 1);
    assert_eq!(stacks[0]["tenants"]["rows"], 3);
}

#[tokio::test]
async fn a_reload_replaces_the_keys_of_e2b_and_those_of_the_file() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("keys.toml"), "").unwrap();
    let file = format!("keys.file={}", folder.path("keys.toml"));
    let routes = Routes::with(&[&file]).await;
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let key = format!("[[key]]\nname = \"search\"\nsha256 = \"{hash}\"\n");
    std::fs::write(folder.0.join("keys.toml"), &key).unwrap();
    let (status, _) = routes.json("POST", "/api/v1/reload", Value::Null).await;
    assert_eq!(status, 200);
    let all = routes.gateway.virtual_keys().list();
    assert_eq!((all.len(), &*all[0].name, all[0].declared), (1, "search", true));
    std::fs::write(folder.0.join("keys.toml"), key.replace("sha256", "sha265")).unwrap();
    let (status, error) = routes.json("POST", "/api/v1/reload", Value::Null).await;
    assert_eq!(status, 422);
    let error = error["error"].as_str().unwrap();
    assert!(error.contains("keys.toml:3: keys.file: unknown field"), "{error}");
    assert!(routes.gateway.virtual_keys().list()[0].revoked.is_none());
}

#[test]
fn a_check_says_what_becomes_of_keys() {
    let folder = Folder::new();
    let check = |settings: &[String]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sandtower"));
        command.arg("check");
        for setting in settings {
            command.args(["--set", setting]);
        }
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (shown, _) = check(&folder.settings());
    let kept = format!("sent on as team; 0 in the file; kept in {}", folder.path("keys.db"));
    assert!(
        shown.contains(&kept) && shown.contains("callers' own keys of E2B are rejected"),
        "{shown}"
    );
    assert!(!shown.contains(crate::support::KEY), "{shown}");
    assert!(!folder.0.join("keys.db").exists(), "nothing is written");
    let (shown, _) = check(&[]);
    assert!(shown.contains("no virtual keys"), "{shown}");
    let (_, error) = check(&["keys.upstream.team.env=SANDTOWER_NOT_SET".to_owned()]);
    assert!(
        error.contains("keys.upstream.team: the environment variable SANDTOWER_NOT_SET"),
        "{error}"
    );
    let (_, error) = check(&[format!("keys.upstream.team.file={}", folder.path("none"))]);
    assert!(error.contains("none cannot be read"), "{error}");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..2_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["team", "batch", "interactive", "base"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let field = prop::sample::select(vec![
            "name",
            "upstream",
            "priority",
            "templates",
            "limits",
            "concurrent_sandboxes",
            "creations_per_minute",
            "creations_per_day",
            "sandbox_seconds_per_day",
            "grace_seconds",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(field.prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Whatever is sent: no failure of the gateway, and no secret but that of the key that is made.
#[test]
fn any_request_has_a_response_without_secrets() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let routes = runtime.block_on(Routes::new());
    let secrets = std::cell::RefCell::new(BTreeSet::<String>::new());
    let ids = std::cell::RefCell::new(vec!["0000000000000000".to_owned()]);
    let request = (
        prop::sample::select(vec!["GET", "POST", "PATCH", "DELETE", "PUT"]),
        prop::sample::select(vec!["", "/{id}", "/{id}/rotate"]),
        any::<prop::sample::Index>(),
        prop_oneof![
            9 => value().prop_map(|value| value.to_string().into_bytes()),
            2 => Just(br#"{"name": "valid"}"#.to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..50),
        ],
        prop::option::of("[a-z]{1,8}"),
    );
    let config = ProptestConfig::with_cases(1_000);
    proptest!(config, |((method, path, at, body, name) in request)| {
        let id = at.get(&ids.borrow()).clone();
        let mut body = body;
        if let (Some(name), Ok(Value::Object(mut fields))) = (name, serde_json::from_slice(&body)) {
            fields.insert("name".to_owned(), name.into());
            body = Value::Object(fields).to_string().into_bytes();
        }
        let path = format!("/api/v1/keys{}", path.replace("{id}", &id));
        let (status, text) = runtime.block_on(routes.send(method, &path, body));
        prop_assert!(!status.is_server_error(), "{method} {path}: {status} {text}");
        for secret in secrets.borrow().iter() {
            prop_assert!(!text.contains(secret.as_str()), "{method} {path}: {text}");
        }
        if let Ok(Value::Object(fields)) = serde_json::from_str(&text) {
            if let Some(secret) = fields.get("secret").and_then(Value::as_str) {
                secrets.borrow_mut().insert(secret.to_owned());
            }
            if let Some(id) = fields.get("id").and_then(Value::as_str) {
                ids.borrow_mut().push(id.to_owned());
            }
        }
    });
    assert!(!secrets.borrow().is_empty(), "some keys were created");
    let all = routes.gateway.virtual_keys().list();
    assert!(!all.is_empty());
}
