//! Random requests to the API: never a failure of the gateway, never a secret.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::support::{Site, TOKEN};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..2_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["data_plane", "sandbox_create", "rate", "concurrency"])
            .prop_map(Value::from),
    ];
    let field = prop::sample::select(vec!["stack", "operation", "kind", "limit", "x"]);
    let fields = prop::collection::btree_map(field.prop_map(str::to_owned), leaf.clone(), 0..6);
    prop_oneof![
        leaf,
        fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        (prop::sample::select(vec!["rate", "concurrency"]), 0_u64..3_000).prop_map(|(kind, limit)| {
            json!({"stack": "data_plane", "operation": "file_read", "kind": kind, "limit": limit})
        }),
    ]
}

#[test]
fn any_request_has_a_response_without_secrets() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = runtime.block_on(Site::new(&[]));
    runtime.block_on(site.world.create());
    let paths = vec![
        "/",
        "/audit",
        "/login",
        "/logout",
        "/metrics",
        "/api/v1/limits",
        "/api/v1/breakers/{}/reset",
        "/api/v1/breakers/{}/force_open",
        "/api/v1/breakers/{}/force_closed",
        "/api/v1/breakers/{}/release",
        "/api/v1/sandboxes/{}/kill",
        "/api/v1/history?stack={}",
        "/api/v1/reload",
        "/api/v1/queues",
        "/api/v1/keys/{}",
        "/api/v1/{}",
        "/{}",
    ];
    let request = (
        prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]),
        prop::sample::select(paths),
        prop_oneof![
            Just(String::from("data_plane")),
            "[a-zA-Z0-9_%.~-]{0,40}",
            prop::sample::select(vec!["all", "..", "%00", "%2e%2e", "%ff", "'--", "%3Cscript%3E"])
                .prop_map(str::to_owned),
        ],
        prop_oneof![
            8 => value().prop_map(|value| value.to_string().into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..60),
        ],
        prop::sample::select(vec![
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded",
        ]),
        any::<bool>(),
    );
    let config = ProptestConfig::with_cases(1_500);
    proptest!(config, |((method, path, part, body, kind, has_token) in request)| {
        let path = path.replace("{}", &part);
        // What is no target has no request.
        prop_assume!(path.parse::<http::Uri>().is_ok());
        let mut request = site.request(method, &path).header("content-type", kind);
        if has_token {
            request = request.header("authorization", format!("Bearer {TOKEN}"));
        }
        let Ok(request) = request.body(body.into()) else { return Ok(()) };
        let response = runtime.block_on(site.send(request));
        let status = response.status();
        prop_assert!(!status.is_server_error(), "{method} {path}: {status} {}", response.body());
        let is_change = !["GET", "HEAD"].contains(&method);
        prop_assert!(has_token || !is_change || status.is_client_error(), "{method} {path}: {status}");
        for secret in [TOKEN, crate::support::KEY] {
            prop_assert!(!response.body().contains(secret), "{method} {path}: {}", response.body());
        }
    });
}
