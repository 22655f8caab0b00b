//! The pages of operators, in a browser.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sandtower_gateway::admin::{self, Admin};
use sandtower_gateway::config::{Config, Source};
use sandtower_gateway::{Gateway, virtual_keys::NewKey};
use sandtower_sim::{Plan, Server, Sim};
use serde_json::{Value, json};

use crate::browser::{Browser, Page};

const PAGES: [&str; 12] = [
    "/",
    "/breakers",
    "/queues",
    "/limits",
    "/keys",
    "/sandboxes",
    "/creations",
    "/pool",
    "/latency",
    "/alerts",
    "/calls",
    "/audit",
];
const TOKEN: &str = "5ec5e75ec5e75ec5e75ec5e7";
/// A phone, and a wide screen.
const WIDTHS: [u32; 2] = [390, 1_280];
const HELPERS: &str = include_str!("helpers.js");

/// A gateway over a simulator, with its listener for operators.
struct Site {
    sim: Sim,
    gateway: Arc<Gateway>,
    admin: Arc<Admin>,
    http: reqwest::Client,
    key: PathBuf,
    _simulator: Server,
}

impl Site {
    async fn new(test: &str) -> Self {
        let sim = sandtower_sim::Config::new().plan(Plan::Pro).build().unwrap();
        let simulator = sim.listen("127.0.0.1:0").await.unwrap();
        let key = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.key"));
        std::fs::write(&key, "e2b_7777777777777777777777777777777777777777").unwrap();
        let config = Self::config(&simulator.url(), &key);
        let gateway = Gateway::start_logging(config.clone(), std::io::sink()).unwrap();
        let gateway = Arc::new(gateway);
        let admin = config.admin.clone();
        let admin = admin::start(&gateway, admin, move || Ok(config.clone())).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sim, gateway, admin: Arc::new(admin), http, key, _simulator: simulator }
    }

    fn config(simulator: &str, key: &std::path::Path) -> Config {
        let settings = [
            format!("upstream.api_url={simulator}"),
            format!("upstream.sandbox_url={simulator}"),
            "upstream.proxy=none".to_owned(),
            "listen=127.0.0.1:0".to_owned(),
            "workers=1".to_owned(),
            "stack.plan=pro".to_owned(),
            "access_log.slow=0s".to_owned(),
            "admin.listen=127.0.0.1:0".to_owned(),
            format!("admin.token={TOKEN}"),
            format!("keys.upstream.team.file={}", key.display()),
        ];
        let all = settings.iter();
        all.fold(Source::new(), |source, it| source.set(it).unwrap()).read().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin.address().unwrap())
    }

    async fn read(&self, path: &str) -> Value {
        let read = self.http.get(self.url(path)).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&read).unwrap()
    }

    /// A change by a program.
    async fn change(&self, path: &str) {
        let request = self.http.post(self.url(path)).bearer_auth(TOKEN);
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }

    /// Creates a sandbox with this key.
    async fn create(&self, key: &str) -> u16 {
        let url = format!("http://{}/v2/sandboxes", self.gateway.address());
        let new = json!({"templateID": "base", "metadata": {"user": "u"}}).to_string();
        let request = self.http.post(url).header("x-api-key", key).body(new);
        let request = request.header("content-type", "application/json");
        request.send().await.unwrap().status().as_u16()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.key));
    }
}

/// Logs in by the address that is printed at a start.
async fn log_in(page: &mut Page<'_>, site: &Site, next: &str) {
    page.visit(&site.url(&format!("/login?next={next}#{TOKEN}"))).await;
    page.evaluate("void document.querySelector('form').requestSubmit()").await;
    let arrived = format!(
        "window.location.pathname === '{next}' && !!document.querySelector('meta[name=csrf]')"
    );
    wait(page, &arrived).await;
    open(page, site, next).await;
}

async fn open(page: &mut Page<'_>, site: &Site, path: &str) {
    page.visit(&site.url(path)).await;
    page.evaluate(HELPERS).await;
}

/// Waits until an expression holds, also across a navigation.
async fn wait(page: &mut Page<'_>, holds: &str) {
    let waiting = async {
        while page.evaluate(holds).await != true {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("{holds}"));
}

/// Presses a button, and confirms: what was asked.
async fn press(page: &mut Page<'_>, selector: &str) -> String {
    let shown = page.evaluate(&format!("press({})", json!(selector))).await;
    let (question, result) = (shown[0].as_str().unwrap(), shown[1].as_str().unwrap());
    assert!(result == "ok Done." || result.starts_with("secret e2b_"), "{selector}: {result}");
    question.to_owned()
}

/// Nothing on the console, no request to elsewhere.
fn is_clean(page: &Page<'_>, site: &Site, path: &str) {
    assert_eq!(page.complaints(), Vec::<String>::new(), "{path}");
    let own = json!(site.url("")).to_string();
    let own = own.trim_end_matches('"');
    let elsewhere: Vec<_> =
        page.requests().into_iter().filter(|url| !url.starts_with(own)).collect();
    assert_eq!(elsewhere, Vec::<String>::new(), "{path}");
}

/// Traffic of both kinds of keys, and much that waits or failed.
async fn traffic(site: &Arc<Site>) {
    let mut new = NewKey::new("a team with quite a long name <b>&amp;");
    new.limits.concurrent_sandboxes = Some(10);
    let (_, secret) = site.gateway.virtual_keys().create(new).unwrap();
    for _ in 0..2 {
        assert_eq!(site.create(secret.expose()).await, 201);
        assert_eq!(site.create("e2b_1").await, 201);
    }
    let fault = json!([{"name": "outage", "kind": "respond", "response": "internal_500", "on": ["control"]}]);
    site.sim.set_faults(serde_json::from_value(fault).unwrap()).unwrap();
    for key in [secret.expose(), "e2b_1"] {
        for _ in 0..12 {
            let (site, key) = (Arc::clone(site), key.to_owned());
            tokio::spawn(async move { site.create(&key).await });
        }
    }
    let is_out = async {
        while site.read("/api/v1/overview").await["status"] != "critical" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_out).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_renders_fits_and_asks_nothing_of_others() {
    let Some(mut browser) = Browser::start("operators-fit") else { return };
    let site = Arc::new(Site::new("operators-fit").await);
    traffic(&site).await;
    let mut page = browser.page().await;
    for width in WIDTHS {
        page.resize(width).await;
        for scheme in ["light", "dark"] {
            page.emulate("screen", scheme).await;
            for path in PAGES {
                open(&mut page, &site, path).await;
                let live =
                    "until(() => document.getElementById('connection').className === 'ok', 'live')";
                page.evaluate(live).await;
                let fit = page.evaluate("widths()").await;
                let fits = fit[0].as_u64() <= fit[1].as_u64() && fit[2] == json!([]);
                assert!(fits, "{path} at {width}: {fit}");
                is_clean(&page, &site, path);
            }
        }
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_what_happens_within_two_seconds() {
    let Some(mut browser) = Browser::start("operators-live") else { return };
    let site = Site::new("operators-live").await;
    let mut page = browser.page().await;
    for path in ["/breakers", "/"] {
        open(&mut page, &site, path).await;
        page.evaluate(
            "until(() => document.getElementById('connection').className === 'ok', 'live')",
        )
        .await;
        for (action, text) in [("force_open", "forced"), ("reset", "")] {
            site.change(&format!("/api/v1/breakers/data_plane/{action}")).await;
            let shown = match text {
                "" => "!document.querySelector('main').textContent.includes('forced')".to_owned(),
                text => format!("document.querySelector('main').textContent.includes('{text}')"),
            };
            let took = page.evaluate(&format!("until(() => {shown}, 'the change')")).await;
            assert!(took.as_f64().unwrap() < 2_000.0, "{path} {action}: {took} ms");
        }
        is_clean(&page, &site, path);
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_button_asks_once_and_works() {
    let Some(mut browser) = Browser::start("operators-buttons") else { return };
    let site = Arc::new(Site::new("operators-buttons").await);
    traffic(&site).await;
    let mut page = browser.page().await;
    page.resize(WIDTHS[0]).await;

    // Without a login a button leads to one.
    open(&mut page, &site, "/breakers").await;
    page.evaluate("void document.querySelector('[data-post$=reset]').click()").await;
    wait(&mut page, "window.location.pathname === '/login'").await;
    log_in(&mut page, &site, "/").await;

    // E2B is back: the calls that wait are let go from the first page.
    site.sim.set_faults(Vec::new()).unwrap();
    let asked = press(&mut page, "#problems [data-post$=reset]").await;
    assert!(asked.contains("waiting calls go"), "{asked}");
    press(&mut page, "[data-post='/api/v1/reload']").await;
    breakers(&mut page, &site).await;
    limits(&mut page, &site).await;
    keys(&mut page, &site).await;

    open(&mut page, &site, "/sandboxes").await;
    let before = site.sim.ledger().active;
    press(&mut page, "[data-post$='/kill']").await;
    assert!(site.sim.ledger().active < before, "{before} sandboxes before");
    is_clean(&page, &site, "/sandboxes");

    open(&mut page, &site, "/").await;
    let asked = press(&mut page, "[data-post='/api/v1/drain']").await;
    assert!(asked.contains("SIGTERM"), "{asked}");
    tokio::time::timeout(Duration::from_secs(60), site.admin.drain_requested()).await.unwrap();
    page.evaluate("void document.querySelector('[data-post=\"/logout\"]').click()").await;
    wait(&mut page, "!!document.querySelector('header a[href^=\"/login\"]')").await;

    let audit = site.read("/api/v1/audit").await;
    let all = audit.as_array().unwrap();
    assert!(all.iter().all(|entry| entry["result"] == "done"), "{audit}");
    assert!(all.len() >= 15 && !audit.to_string().contains(TOKEN), "{audit}");
    browser.close().await;
}

async fn breakers(page: &mut Page<'_>, site: &Site) {
    open(page, site, "/breakers").await;
    let state = async || {
        let all = site.read("/api/v1/breakers").await["rows"].take();
        let row =
            all.as_array().unwrap().iter().find(|row| row["breaker"] == "data_plane").cloned();
        let row = row.unwrap();
        format!("{} {}", row["state"].as_str().unwrap(), row["forced"])
    };
    for (action, expected) in [
        ("force_open", "open true"),
        ("release", "half_open false"),
        ("force_closed", "closed true"),
        ("release", "closed false"),
        ("force_open", "open true"),
        ("reset", "closed false"),
    ] {
        press(page, &format!("[data-post='/api/v1/breakers/data_plane/{action}']")).await;
        assert_eq!(state().await, expected, "{action}");
    }
    is_clean(page, site, "/breakers");
}

async fn limits(page: &mut Page<'_>, site: &Site) {
    open(page, site, "/limits").await;
    let form = "form[data-body*='sandbox_list'][data-body*='concurrency'], form[data-body*='process_start'][data-body*='concurrency']";
    page.evaluate(&format!("until(() => document.querySelector({}), 'a limit')", json!(form)))
        .await;
    let set = format!(
        "(async () => {{ const form = document.querySelector({}); window.which = form.dataset.body; \
         form.querySelector('input').value = 90; form.querySelector('button').click(); \
         return [await confirmed(), await shown(), form.dataset.body]; }})()",
        json!(form)
    );
    let shown = page.evaluate(&set).await;
    assert!(shown[0].as_str().unwrap().ends_with("to 90?"), "{shown}");
    assert_eq!(shown[1], "ok Done.");
    let which: Value = serde_json::from_str(shown[2].as_str().unwrap()).unwrap();
    let limit = async || {
        let all = site.read("/api/v1/limits").await["rows"].take();
        let same = |row: &&Value| {
            ["stack", "operation", "kind"].iter().all(|field| row[field] == which[field])
        };
        all.as_array().unwrap().iter().find(same).unwrap()["limit"].clone()
    };
    assert_eq!(limit().await, 90);
    let halve = "(async () => { const find = () => [...document.querySelectorAll('form.change')]\
        .find((form) => form.dataset.body === window.which).querySelector('[data-fill=\"45\"]');\
        await until(find, 'half'); find().click(); return [await confirmed(), await shown()]; })()";
    let shown = page.evaluate(halve).await;
    assert_eq!(shown[1], "ok Done.", "{shown}");
    assert_eq!(limit().await, 45);
    is_clean(page, site, "/limits");
}

async fn keys(page: &mut Page<'_>, site: &Site) {
    open(page, site, "/keys").await;
    let create = "(async () => { const form = document.querySelector('form.row'); form.elements[0].value = 'search';\
        form.elements[1].value = 8; form.querySelector('button').click(); return [await confirmed(), await shown()]; })()";
    let shown = page.evaluate(create).await;
    assert_eq!(shown[0], "Create a key named search?");
    let secret = shown[1].as_str().unwrap().strip_prefix("secret ").unwrap().to_owned();
    assert_eq!(site.create(&secret).await, 201);
    let key = async || {
        let all = site.read("/api/v1/keys").await["keys"].take();
        all.as_array().unwrap().iter().find(|key| key["name"] == "search").unwrap().clone()
    };
    let id = key().await["id"].as_str().unwrap().to_owned();
    let halve = format!("form[data-post$='{id}'] [data-fill='4']");
    press(page, &halve).await;
    assert_eq!(key().await["limits"]["concurrent_sandboxes"], 4);
    press(page, &format!("[data-post$='{id}/rotate']")).await;
    assert_eq!(site.create(&secret).await, 201, "for another hour");
    press(page, &format!("[data-method=DELETE][data-post$='{id}']")).await;
    assert_eq!(site.create(&secret).await, 401);
    is_clean(page, site, "/keys");
}
