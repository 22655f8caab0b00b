//! The report of the load test, checked in a browser.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

mod sample;

use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use load_test::{Policy, Setup, Unwatched, in_process};
use sandtower_load::Report;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::browser::{Browser, Page};

/// A small phone, a tablet, a wide screen.
const WIDTHS: [u32; 3] = [360, 800, 1_600];

/// A sheet of A4 between its margins.
const PAPER: u32 = 718;

/// Screenshots end here; the part below is measured, too.
const HIGHEST: u32 = 8_000;

/// No text is smaller than this, in CSS pixels.
const SMALLEST: f64 = 10.0;

#[tokio::test]
async fn the_report_of_an_outage_is_drawn_and_nothing_overflows() {
    look_at("outage", &sample::outage(), &["light", "dark"], |plots| {
        for plot in plots {
            assert!(plot["marks"].as_object().is_some_and(|marks| !marks.is_empty()), "{plot}");
        }
        let marks = |title: &str, class: &str| marks(plots, title, class);
        assert!(marks("sandtower: latency over time", "p50") == 100);
        assert!(marks("sandtower: latency over time", "slowest") == 100);
        assert!(marks("sandtower: goodput", "rejected") >= 5);
        assert_eq!(marks("unprotected: goodput", "rejected"), 0);
        assert_eq!(marks("unprotected: goodput", "offered"), 1);
        assert_eq!(marks("sandtower: breaker", "breaker-open"), 1);
        assert_eq!(marks("sandtower: breaker", "breaker-closed"), 2);
        assert_eq!(marks("unprotected: where", "backoff"), 12);
    })
    .await;
}

#[test]
fn the_report_of_the_load_test_itself_is_drawn() {
    let scenarios = ["stress", "outage"].map(|name| Setup::named(name).unwrap());
    let ran = |setup: &Setup, policy| {
        let run = |seed| in_process(setup, policy, seed, &mut Unwatched).unwrap();
        load_test::report(&[1, 2].map(run))
    };
    let of = |setup| Policy::ALL.map(|policy| ran(setup, policy));
    let report = Report { policies: scenarios.iter().flat_map(of).collect() };
    let drawn = look_at("load-test", &report, &["light"], |plots| {
        assert_eq!(plots.len(), 2 * Policy::ALL.len() * 4);
        for plot in plots {
            assert!(plot["marks"].as_object().is_some_and(|marks| !marks.is_empty()), "{plot}");
        }
    });
    Runtime::new().unwrap().block_on(drawn);
}

#[tokio::test]
async fn the_report_of_hardly_anything_says_so() {
    look_at("hardly-anything", &sample::hardly_anything(), &["dark"], |plots| {
        assert_eq!(marks(plots, "none: latency", "p50"), 0);
        assert_eq!(marks(plots, "one: latency", "p50"), 1);
        assert_eq!(marks(plots, "one: where", "attempt"), 1);
    })
    .await;
}

#[tokio::test]
async fn the_report_of_far_too_much_stays_in_its_place() {
    look_at("too-much", &sample::too_much(), &["light"], |plots| assert_eq!(plots.len(), 12)).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_page_is_found() {
    let Some(mut browser) = Browser::start("wrong") else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("wrong.html");
    fs::write(&file, include_str!("wrong.html")).unwrap();
    let mut page = browser.page().await;
    page.resize(360).await;
    page.load(&file).await;
    let found = page.evaluate(include_str!("measure.js")).await;
    let problems: Vec<_> = found["problems"].as_array().unwrap().iter().collect();
    for problem in [
        "the page is 900 wide in a window of 360",
        "outside: mark rect is outside",
        "flat: mark circle is nowhere to be seen",
        "empty shows nothing and does not say why",
        r#""upper words" is written over "lower words""#,
        r#""pale words" has a contrast of"#,
    ] {
        let is_it = |found: &&Value| found.as_str().is_some_and(|it| it.contains(problem));
        assert!(problems.iter().any(is_it), "{problem} in {problems:#?}");
    }
    assert!(page.complaints()[0].contains("a word"), "{:?}", page.complaints());
    assert_eq!(page.requests().len(), 2, "{:?}", page.requests());
    browser.close().await;
}

/// Opens a report at every width and in these colour schemes, and on paper. The screenshots stay under
/// `target/tmp/report/` for people to look at.
async fn look_at(name: &str, report: &Report, schemes: &[&str], drawn: impl Fn(&[Value])) {
    let Some(mut browser) = Browser::start(name) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report").join(name);
    let file = report.write_to(&folder).unwrap().html;
    let mut page = browser.page().await;
    for scheme in schemes {
        for width in WIDTHS {
            page.resize(width).await;
            page.emulate("screen", scheme).await;
            page.load(&file).await;
            take_picture(&mut page, width, &folder.join(format!("{width}-{scheme}.png"))).await;
            drawn(&measured(&mut page, &format!("{name} at {width}, {scheme}")).await);
        }
    }
    page.resize(PAPER).await;
    page.emulate("print", "light").await;
    take_picture(&mut page, PAPER, &folder.join("print.png")).await;
    measured(&mut page, &format!("{name} on paper")).await;
    browser.close().await;
}

async fn take_picture(page: &mut Page<'_>, width: u32, file: &Path) {
    let height = page.evaluate("document.documentElement.scrollHeight").await;
    let height = height.as_u64().unwrap().min(HIGHEST.into()) as u32;
    let picture = page.screenshot(width, height).await;
    fs::write(file, BASE64_STANDARD.decode(picture).unwrap()).unwrap();
}

/// The shapes drawn, once no problem was found.
async fn measured(page: &mut Page<'_>, at: &str) -> Vec<Value> {
    let mut found = page.evaluate(include_str!("measure.js")).await;
    assert!(found["problems"] == Value::Array(vec![]), "{at}: {:#}", found["problems"]);
    assert!(found["smallest"].as_f64().unwrap() >= SMALLEST, "{at}: {}", found["smallest"]);
    assert_eq!(page.complaints(), [""; 0], "{at}");
    assert_eq!(page.requests().len(), 1, "{at}: {:?}", page.requests());
    match found["plots"].take() {
        Value::Array(plots) => plots,
        other => panic!("{at}: {other}"),
    }
}

/// How many marks of a class are in the plot whose title begins like this.
fn marks(plots: &[Value], title: &str, class: &str) -> u64 {
    let is_it = |plot: &&Value| plot["title"].as_str().is_some_and(|it| it.starts_with(title));
    let plot = plots.iter().find(is_it).unwrap_or_else(|| panic!("no plot `{title}`"));
    plot["marks"][class].as_u64().unwrap_or_default()
}
