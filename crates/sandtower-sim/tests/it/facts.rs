//! The table of facts in `docs/simulator.md` is about the routes and the tests that there are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table: what stands in its chapter.
fn facts() -> String {
    let text = fs::read_to_string(root().join("../../docs/simulator.md")).unwrap();
    let chapter = text.split("## How each response is known").nth(1).unwrap();
    chapter.split("\n## ").next().unwrap().to_owned()
}

#[test]
fn every_route_is_in_the_table() {
    let (facts, routes) =
        (facts(), fs::read_to_string(root().join("src/control/route.rs")).unwrap());
    let table = routes.split("const ROUTES").nth(1).unwrap().split("];").next().unwrap();
    let texts: Vec<_> = table.split('"').skip(1).step_by(2).collect();
    assert!(texts.len() > 90);
    for route in texts.chunks(3) {
        let route = format!("{} {}", route[0], route[1]);
        assert!(facts.contains(&format!("`{route}`")), "{route} is in no row");
    }
}

#[test]
fn every_test_of_the_table_is_there() {
    let facts = facts();
    let named = facts.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"));
    let mut seen = 0;
    for (file, name) in named.filter(|(file, _)| file.chars().all(char::is_lowercase)) {
        let path = match file {
            "script" => root().join("src/script/tests.rs"),
            file => root().join(format!("tests/it/{file}.rs")),
        };
        let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("there is no {file}"));
        assert!(text.contains(&format!("fn {name}(")), "{file} has no {name}");
        seen += 1;
    }
    assert!(seen > 40, "only {seen}");
}
