//! No module uses one that is above it: so the crate's imports make no circle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path::Path};

/// The modules, from those that use nothing to those that use the most. A module uses only what
/// stands before it.
const ORDER: &[&str] = &[
    "clock",
    "date",
    "dice",
    "json",
    "lock",
    "seconds",
    "error",
    "plan",
    "gcra",
    "world",
    "ledger",
    "request",
    "body",
    "gzip",
    "response",
    "query",
    "proxy",
    "placement",
    "fault",
    "files",
    "runner",
    "script",
    "scenario",
    "config",
    "state",
    "control",
    "envd",
    "interpreter",
    "traffic",
    "fault_control",
    "sim",
    "service",
    "server",
];

/// Where the crate's root has names from that modules use by it.
const FROM_ROOT: &[(&str, &str)] = &[
    ("Fault", "fault"),
    ("InvalidConfig", "error"),
    ("Plan", "plan"),
    ("SandboxRecord", "ledger"),
    ("World", "world"),
];

/// The code of a module, without its tests and comments.
fn code(path: &Path) -> String {
    if path.is_dir() {
        let files = fs::read_dir(path).unwrap().map(|file| file.unwrap().path());
        return files.filter(|file| !file.ends_with("tests.rs")).map(|file| code(&file)).collect();
    }
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The names behind each `crate::`, those in braces too.
fn used(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let group = rest.strip_prefix('{').and_then(|rest| rest.split_once("};"));
        let parts = group.map_or(vec![rest], |(inside, _)| inside.split(',').collect());
        for part in parts {
            let name = part.trim().split(|c: char| c != '_' && !c.is_alphanumeric()).next();
            names.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    names
}

#[test]
fn imports_go_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rank: BTreeMap<_, _> = ORDER.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(&src).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if ["lib", "main", "args", "scenarios"].contains(&name.as_str()) {
            continue;
        }
        let own = *rank.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no place here"));
        seen.insert(own);
        for used in used(&code(&path)) {
            let from_root = FROM_ROOT.iter().find(|(root, _)| *root == used);
            let module = from_root.map_or(used.as_str(), |(_, module)| module);
            let other = rank.get(module).unwrap_or_else(|| panic!("{name} uses {used}"));
            assert!(*other < own || module == name, "{name} uses {module}, which is above it");
        }
    }
    assert_eq!(seen.len(), ORDER.len(), "all of these are there");
}
