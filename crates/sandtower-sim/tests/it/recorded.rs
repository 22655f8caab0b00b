//! What the real envd responded is what the simulator responds: status, fields, and form of the body.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{collections::BTreeMap, io::Read as _};

use crate::common::{Created, control, envelope, envelopes, send};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use sandtower_sim::{Body, Config, Fault, FaultKind, Sim};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

/// What names in `<>` stand for, once they are known.
type Bound = BTreeMap<String, Value>;

fn fixture(text: &str) -> Vec<Value> {
    let mut fixture: Value = serde_json::from_str(text).unwrap();
    fixture["cases"].take().as_array().unwrap().clone()
}

fn name_in(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix('<')?.strip_suffix('>')
}

/// Whether what was found is what was recorded; learns the names that are new.
fn matches(recorded: &Value, found: &Value, bound: &mut Bound) -> bool {
    if let Some(name) = name_in(recorded) {
        return name == "any"
            || *bound.entry(name.to_owned()).or_insert_with(|| found.clone()) == *found;
    }
    match (recorded, found) {
        (Value::Object(recorded), Value::Object(found)) => {
            let may_have_more = recorded.contains_key("...");
            let known = recorded.iter().filter(|(key, _)| *key != "...");
            (may_have_more || recorded.len() == found.len())
                && known.clone().all(|(key, value)| {
                    found.get(key).is_some_and(|found| matches(value, found, bound))
                })
        }
        (Value::Array(recorded), Value::Array(found)) => {
            recorded.len() == found.len()
                && recorded.iter().zip(found).all(|(one, other)| matches(one, other, bound))
        }
        _ => recorded == found,
    }
}

/// The same with what the names stand for.
fn filled(value: &Value, bound: &Bound) -> Value {
    if let Some(name) = name_in(value) {
        return bound[name].clone();
    }
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), filled(value, bound)));
            Value::Object(fields.collect())
        }
        Value::Array(values) => values.iter().map(|value| filled(value, bound)).collect(),
        other => other.clone(),
    }
}

fn request(sandbox: &Created, asked: &Value, bound: &Bound) -> Request<Full<Bytes>> {
    let path = asked["path"].as_str().unwrap();
    let path = match bound.get("signature") {
        Some(signature) => path.replace("<signature>", signature.as_str().unwrap()),
        None => path.to_owned(),
    };
    let mut request = Request::builder().method(asked["method"].as_str().unwrap()).uri(path);
    request = request.header("e2b-sandbox-id", &sandbox.id).header("e2b-sandbox-port", 49983);
    let mut shows_token = !sandbox.token.is_empty();
    for (name, value) in asked["headers"].as_object().into_iter().flatten() {
        match value.as_str() {
            Some(value) => request = request.header(name, value),
            None => shows_token = false,
        }
    }
    if shows_token {
        request = request.header("x-access-token", &sandbox.token);
    }
    let body = if let Some(text) = asked["text"].as_str() {
        Bytes::copy_from_slice(text.as_bytes())
    } else if asked["json"].is_object() {
        filled(&asked["json"], bound).to_string().into()
    } else if asked["message"].is_object() {
        envelope(&filled(&asked["message"], bound).to_string())
    } else {
        Bytes::new()
    };
    request.body(Full::new(body)).unwrap()
}

/// The whole body, or its first frames for a client that then goes away.
async fn read(mut body: Body, frames: Option<u64>) -> Vec<u8> {
    let mut read = Vec::new();
    for _ in 0..frames.unwrap_or(u64::MAX) {
        let Some(frame) = body.frame().await else { break };
        read.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    read
}

fn unpacked(headers: &HeaderMap, body: Vec<u8>) -> Vec<u8> {
    if headers.get("content-encoding").is_none_or(|coding| coding != "gzip") {
        return body;
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
    plain
}

fn check_headers(recorded: &Value, found: &HeaderMap, name: &str) {
    for (field, value) in recorded.as_object().into_iter().flatten() {
        let found: Vec<_> = found.get_all(field).iter().map(|v| v.to_str().unwrap()).collect();
        match value {
            Value::Null => assert!(found.is_empty(), "{name}: {field}: {found:?}"),
            Value::Array(_) => assert_eq!(&json!(found), value, "{name}: {field}"),
            value if value == "<any>" => assert_eq!(found.len(), 1, "{name}: {field}"),
            value => assert_eq!(json!(found), json!([value]), "{name}: {field}"),
        }
    }
}

fn check_body(recorded: &Value, found: &[u8], bound: &mut Bound, name: &str) {
    if let Some(text) = recorded["text"].as_str() {
        assert_eq!(String::from_utf8_lossy(found), text, "{name}");
    } else if recorded.get("messages").is_some() {
        let found = json!(envelopes(found));
        assert!(matches(&recorded["messages"], &found, bound), "{name}: {found}");
    } else {
        let found: Value = serde_json::from_slice(found).unwrap();
        assert!(matches(&recorded["json"], &found, bound), "{name}: {found}");
    }
}

async fn created(sim: &Sim, path: &str, more: Value) -> Created {
    let mut body = json!({"templateID": "base"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Created::of(&send(sim, control("POST", path, body.to_string())).await)
}

#[tokio::test(start_paused = true)]
async fn envd_responds_as_recorded() {
    let sim = Config::new().build().unwrap();
    let open = created(&sim, "/sandboxes", json!({})).await;
    let secured = created(&sim, "/v2/sandboxes", json!({"envVars": {"A": "1"}})).await;
    assert!(open.token.is_empty() && !secured.token.is_empty());
    let signed = format!("/tmp/e2bcap/s.txt:read::{}", secured.token);
    let signature = STANDARD_NO_PAD.encode(Sha256::digest(signed));
    let signature = signature.replace('+', "%2B").replace('/', "%2F");
    let mut kept = Bound::from([(String::from("signature"), json!(format!("v1_{signature}")))]);
    for case in fixture(include_str!("fixtures/envd.json")) {
        let name = case["name"].as_str().unwrap();
        let sandbox = if case["secured"] == true { &secured } else { &open };
        // What is not asked for again is another thing each time.
        kept.remove("pid");
        let request = request(sandbox, &case["request"], &kept);
        let (head, body) = sim.clone().oneshot(request).await.unwrap().into_parts();
        assert_eq!(json!(head.status.as_u16()), case["response"]["status"], "{name}");
        check_headers(&case["response"]["headers"], &head.headers, name);
        let body = unpacked(&head.headers, read(body, case["reads"].as_u64()).await);
        check_body(&case["response"], &body, &mut kept, name);
    }
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_proxy_responds_as_recorded() {
    let text = include_str!("fixtures/proxy.json");
    let requests: Value = serde_json::from_str(text).unwrap();
    let requests = requests["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 5);
    let sim = Config::new().build().unwrap();
    let sandbox = Created::new(&sim).await;
    for case in fixture(text) {
        let response = serde_json::from_value(case["fault"].clone()).unwrap();
        let fault = Fault { response: Some(response), ..Fault::new("x", FaultKind::Respond) };
        sim.set_faults(vec![Fault { on: vec![String::from("envd")], ..fault }]).unwrap();
        for asked in requests {
            let name = format!("{}: {asked}", case["name"]);
            let asked = json!({"method": asked[0], "path": asked[1]});
            let response = send(&sim, request(&sandbox, &asked, &Bound::new())).await;
            assert_eq!(json!(response.status.as_u16()), case["response"]["status"], "{name}");
            check_headers(&case["response"]["headers"], &response.headers, &name);
            let mut bound = Bound::from([(String::from("id"), json!(sandbox.id))]);
            check_body(&case["response"], &response.body, &mut bound, &name);
        }
    }
}
