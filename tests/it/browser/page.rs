//! One page of the browser.

use std::path::Path;

use serde_json::{Value, json};

use super::Browser;

/// A page and everything that it reported since it was opened.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
}

impl<'a> Page<'a> {
    pub(super) async fn open(browser: &'a mut Browser, session: String) -> Self {
        let mut page = Self { browser, session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.command(&format!("{domain}.enable"), json!({})).await;
        }
        page
    }

    /// Loads a file, and waits until it is loaded.
    pub(crate) async fn load(&mut self, file: &Path) {
        self.visit(&format!("file://{}", file.display())).await;
    }

    /// Loads what is at an address, and waits until it is loaded.
    pub(crate) async fn visit(&mut self, url: &str) {
        self.browser.events.clear();
        let response = self.command("Page.navigate", json!({"url": url})).await;
        assert!(response["errorText"].is_null(), "{url}: {}", response["errorText"]);
        self.browser.wait_for(&self.session, "Page.loadEventFired").await;
    }

    /// Sets the width of the window, in CSS pixels.
    pub(crate) async fn resize(&mut self, width: u32) {
        let metrics = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false,
        });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Renders the page with the preferred colour scheme `scheme`, for `media`.
    pub(crate) async fn emulate(&mut self, media: &str, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        let emulated = json!({"media": media, "features": [feature]});
        self.command("Emulation.setEmulatedMedia", emulated).await;
    }

    /// The value of an expression in the page.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut response = self.command("Runtime.evaluate", parameters).await;
        assert!(response["exceptionDetails"].is_null(), "{}", response["exceptionDetails"]);
        response["result"]["value"].take()
    }

    /// A screenshot of the page down to a height, as base64 of a PNG.
    pub(crate) async fn screenshot(&mut self, width: u32, height: u32) -> String {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let parameters = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let response = self.command("Page.captureScreenshot", parameters).await;
        response["data"].as_str().unwrap_or_default().to_owned()
    }

    /// Messages on the console, and uncaught exceptions.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let methods = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"];
        self.seen(&methods).map(|event| event["params"].to_string()).collect()
    }

    /// The addresses that were requested, the page's own first.
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

    async fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.browser.command(Some(&self.session), method, parameters).await
    }
}
