//! Sandboxes of several places by their hosts under the gateway's domain, and by signed URLs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::Request;
use http_body_util::Full;
use sha2::{Digest as _, Sha256};

use super::world::Two;

#[tokio::test]
async fn hosts_under_the_domain_of_the_gateway_lead_to_each_place() {
    let mut two = Two::new(&["domain=gw.example"]).await;
    let all = [two.create().await, two.create_in_eu().await];
    for is_restarted in [false, true] {
        if is_restarted {
            two.restart();
        }
        for (id, token) in &all {
            let request = Request::get(two.uri("/health"))
                .header("host", format!("49983-{id}.gw.example"))
                .header("x-access-token", token);
            let response = two.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(response.status(), 204, "{id} {is_restarted}");
            let info = two.control("GET", &format!("/sandboxes/{id}"), None).await;
            assert!(String::from_utf8_lossy(info.body()).contains(r#""domain":"gw.example""#));
        }
    }
}

#[tokio::test]
async fn a_signed_url_leads_to_its_place() {
    let two = Two::new(&[]).await;
    for (id, token) in [two.create().await, two.create_in_eu().await] {
        let write = two.inside("POST", "/files?path=a.txt&username=user", &id, &token);
        let write = write.header("content-type", "application/octet-stream");
        assert_eq!(two.send(write.body(Full::from(id.clone())).unwrap()).await.status(), 200);
        let digest = Sha256::digest(format!("a.txt:read:user:{token}"));
        let signature = STANDARD_NO_PAD.encode(digest).replace('+', "%2B").replace('/', "%2F");
        let path = format!("/files?path=a.txt&username=user&signature=v1_{signature}");
        let read = two.send(Request::get(two.uri(&path)).body(Full::default()).unwrap()).await;
        assert_eq!((read.status().as_u16(), &read.body()[..]), (200, id.as_bytes()));
    }
}
