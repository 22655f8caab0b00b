use serde_json::json;

use super::support::Site;
use crate::keys::{Folder, keyed, roomy};

const SCRIPT: &str = "<script>alert(1)</script>";
const IMAGE: &str = "\"'><img src=x onerror=alert(1)>";

/// Whatever others name, write and send is shown as text, and not all of it.
#[tokio::test]
async fn texts_of_others_do_nothing_on_pages() {
    let folder = Folder::new();
    let template = format!("{SCRIPT}{IMAGE}");
    let sim = roomy().template_with_envd(&*template, "0.6.0");
    let world = keyed(&folder, sim, &["keys.pass_through=true", "access_log.slow=0s"]).await;
    let settings = folder.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let site = Site::over(world, &settings).await;
    let (status, key) =
        site.change("/api/v1/keys", json!({"name": format!("{SCRIPT}{IMAGE}")})).await;
    assert_eq!(status, 201, "{key}");
    let secret = key["secret"].as_str().unwrap();
    let metadata = json!({"user": SCRIPT, IMAGE: IMAGE, "long": "l".repeat(2_000)});
    let new = json!({"templateID": template, "metadata": metadata});
    let created = site.world.by(secret, "POST", "/v2/sandboxes", Some(new)).await;
    assert_eq!(created.status(), 201, "{created:?}");
    let unknown = json!({"templateID": format!("{SCRIPT}-none")});
    site.world.by(secret, "POST", "/v2/sandboxes", Some(unknown)).await;
    for path in ["/\"'<script>alert(1)</script>", "/sandboxes/%3Cscript%3Ealert(1)%3C%2Fscript%3E"]
    {
        let long = "i".repeat(9_000);
        let head = format!(
            "GET {path}{long} HTTP/1.1\r\nhost: a\r\nx-api-key: e2b_1\r\nx-request-id: {SCRIPT}{long}\r\nconnection: close\r\n\r\n"
        );
        site.world.raw(head.as_bytes()).await;
    }
    site.change(
        &format!("/api/v1/breakers/{SCRIPT}/reset").replace('<', "%3C").replace('>', "%3E"),
        json!({SCRIPT: IMAGE}),
    )
    .await;
    let mut seen = 0;
    for path in super::api::PAGES {
        let page = site.get(path).await.into_body();
        let texts = ["<script>alert", "<img", "onerror=alert(1)>", "\"'>"];
        for text in texts {
            assert!(!page.contains(text), "{path}: {text}");
        }
        assert_eq!(page.matches("<script").count(), 1, "{path}: its own");
        assert!(!page.contains(&"i".repeat(300)) && !page.contains(&"l".repeat(300)), "{path}");
        assert!(page.len() < 60_000, "{path}: {}", page.len());
        seen += page.matches("&lt;script&gt;alert(1)").count();
    }
    assert!(seen >= 4, "the texts are shown: {seen}");
}
