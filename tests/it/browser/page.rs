//! One page of the browser.

use std::path::Path;

use serde_json::{Value, json};

use super::Browser;

/// A page and all that it has said since it was opened.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
}

impl<'a> Page<'a> {
    pub(super) async fn open(browser: &'a mut Browser, session: String) -> Self {
        let mut page = Self { browser, session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.classify(&format!("{domain}.enable"), json!({})).await;
        }
        page
    }

    /// Loads a file, and waits until it is there.
    pub(crate) async fn load(&mut self, file: &Path) {
        self.browser.events.clear();
        let url = format!("file://{}", file.display());
        let answer = self.classify("Page.navigate", json!({"url": url})).await;
        assert!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
        self.browser.wait_for(&self.session, "Page.loadEventFired").await;
    }

    /// Makes the window as wide as this, in CSS pixels.
    pub(crate) async fn resize(&mut self, width: u32) {
        let metrics = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false,
        });
        self.classify("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Shows the page as one who prefers `scheme` sees it, on `media`.
    pub(crate) async fn emulate(&mut self, media: &str, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        let emulated = json!({"media": media, "features": [feature]});
        self.classify("Emulation.setEmulatedMedia", emulated).await;
    }

    /// The value of an expression in the page.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.classify("Runtime.evaluate", asked).await;
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// A picture of the page down to a height, as base64 of a PNG.
    pub(crate) async fn screenshot(&mut self, width: u32, height: u32) -> String {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.classify("Page.captureScreenshot", asked).await;
        answer["data"].as_str().unwrap_or_default().to_owned()
    }

    /// Messages on the console, and exceptions nobody caught.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let methods = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"];
        self.seen(&methods).map(|event| event["params"].to_string()).collect()
    }

    /// The addresses that were asked for, the page's own first.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = self.seen(&["Network.requestWillBeSent"]);
        requests.map(|event| event["params"]["request"]["url"].to_string()).collect()
    }

    fn seen<'s>(&'s self, methods: &'s [&str]) -> impl Iterator<Item = &'s Value> {
        self.browser.events.iter().filter(|event| {
            event["sessionId"] == self.session.as_str()
                && methods.iter().any(|method| event["method"] == *method)
        })
    }

    async fn classify(&mut self, method: &str, parameters: Value) -> Value {
        self.browser.classify(Some(&self.session), method, parameters).await
    }
}
