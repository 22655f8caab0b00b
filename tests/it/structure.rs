//! The shape of the workspace: allowed dependencies, and the rules for manifests and files.
//!
//! Each rule is a pure function over plain data; planted violations at the end show that it can fail.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use cargo_metadata::{DependencyKind, MetadataCommand};
use toml::Table;

/// The crates that users get, lowest tier first. A crate depends on lower tiers only.
const TIERS: &[&[&str]] = &[
    &["sandtower-core"],
    &[
        "sandtower-admission",
        "sandtower-circuit-breaker",
        "sandtower-fallback",
        "sandtower-health-check",
        "sandtower-rate-limit",
        "sandtower-retry",
        "sandtower-sim",
        "sandtower-timeout",
    ],
    &["sandtower-http"],
    &["sandtower-e2b"],
    &["sandtower-pool"],
    &["sandtower"],
    &["sandtower-telemetry"],
    &["sandtower-gateway"],
];

/// The crates for development. They may use anything; only tests use them.
const DEV: &[&str] = &[
    "compile-fail",
    "examples",
    "load_test",
    "otlp_traces",
    "sandtower-bench",
    "sandtower-load",
    "sandtower-testkit",
    "tests",
    "xtask",
];

/// What a manifest inherits from the workspace, so that it is said once.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "repository"];

/// The length limit of the README.
const README_LINES: usize = 150;

#[test]
fn crates_depend_on_lower_tiers_only() {
    assert_none(tier_violations(&members()));
}

#[test]
fn a_folder_is_named_as_its_crate() {
    assert_none(members().iter().filter_map(folder_violation));
}

#[test]
fn manifests_inherit_from_the_workspace() {
    assert_none(members().iter().flat_map(|member| {
        let manifest = fs::read_to_string(member.folder.join("Cargo.toml")).unwrap();
        manifest_violations(&member.name, &manifest.parse().unwrap())
    }));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let root = root();
    assert_none(files_under_git(&root).into_iter().flat_map(|file| {
        // Binary files are skipped; missing ones were deleted and not yet committed.
        let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
        place_violations(&file, &text)
    }));
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is missing");
    let lines = readme.lines().count();
    assert!(lines < README_LINES, "README.md has {lines} lines, {README_LINES} are too many");
}

#[test]
fn one_layer_alone_brings_neither_http_nor_tls() {
    const LAYERS: [&str; 7] = [
        "admission",
        "circuit-breaker",
        "fallback",
        "health-check",
        "rate-limit",
        "retry",
        "timeout",
    ];
    const HEAVY: [&str; 8] =
        ["h2", "http", "http-body", "hyper", "hyper-rustls", "hyper-util", "ring", "rustls"];
    for feature in LAYERS.into_iter().chain(["layers"]) {
        let tree = crates_of_sandtower_with(feature);
        assert!(tree.iter().any(|name| name == "sandtower-core"), "{feature}: {tree:?}");
        assert_none(
            tree.iter()
                .filter(|name| HEAVY.contains(&name.as_str()))
                .map(|heavy| format!("`sandtower` with `{feature}` alone brings `{heavy}`")),
        );
    }
    let whole = crates_of_sandtower_with("transport");
    assert!(HEAVY.iter().all(|heavy| whole.iter().any(|name| name == heavy)), "{whole:?}");
}

/// The dependencies of `sandtower` with this feature.
fn crates_of_sandtower_with(feature: &str) -> Vec<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let listed = Command::new(cargo)
        .args(["tree", "--offline", "--package", "sandtower", "--no-default-features"])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}", "--features", feature])
        .current_dir(root())
        .output()
        .expect("cargo lists what a crate is made of");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// The data about a crate that the rules need.
struct Member {
    name: String,
    folder: PathBuf,
    uses: Vec<Use>,
}

/// One crate of the workspace named in the manifest of another.
struct Use {
    name: String,
    in_tests_only: bool,
}

/// The place of a crate.
enum Place {
    Tier(usize),
    Dev,
}

fn place(name: &str) -> Option<Place> {
    if DEV.contains(&name) {
        return Some(Place::Dev);
    }
    TIERS.iter().position(|tier| tier.contains(&name)).map(Place::Tier)
}

fn tier_violations(members: &[Member]) -> Vec<String> {
    let mut violations = Vec::new();
    for member in members {
        let name = &member.name;
        match place(name) {
            None => violations.push(format!("`{name}` stands in no tier: add it to TIERS or DEV")),
            Some(Place::Dev) => {}
            Some(Place::Tier(tier)) => {
                violations.extend(
                    member
                        .uses
                        .iter()
                        .filter_map(|used| use_violation(tier, used))
                        .map(|violation| format!("`{name}` {violation}")),
                );
            }
        }
    }
    violations
}

fn use_violation(tier: usize, used: &Use) -> Option<String> {
    let name = &used.name;
    match place(name) {
        // Reported once, for the crate itself.
        None => None,
        Some(Place::Dev) if used.in_tests_only => None,
        Some(Place::Dev) => Some(format!("uses `{name}`, which is for tests only")),
        Some(Place::Tier(below)) if below < tier => None,
        Some(Place::Tier(same)) if same == tier => Some(format!("uses its sibling `{name}`")),
        Some(Place::Tier(_)) => Some(format!("uses `{name}`, which stands above it")),
    }
}

fn folder_violation(member: &Member) -> Option<String> {
    let Member { name, folder, .. } = member;
    (!folder.ends_with(name)).then(|| format!("`{name}` lives in {}", folder.display()))
}

fn manifest_violations(name: &str, manifest: &Table) -> Vec<String> {
    let mut violations = Vec::new();
    let package = manifest.get("package").and_then(toml::Value::as_table);
    for key in INHERITED {
        if !package.and_then(|package| package.get(*key)).is_some_and(inherits) {
            violations.push(format!("`{name}`: write `{key}.workspace = true`"));
        }
    }
    if !manifest.get("lints").is_some_and(inherits) {
        violations.push(format!("`{name}`: write `workspace = true` under `[lints]`"));
    }
    for (dependency, declared) in dependencies(manifest) {
        // A crate's own tests may turn on its features. By its path alone, as a release could not find
        // the version of itself that it is about to publish.
        if !inherits(declared) && dependency != name {
            violations.push(format!(
                "`{name}`: declare `{dependency}` in the workspace, and use it by `workspace = true`"
            ));
        }
    }
    violations
}

fn inherits(value: &toml::Value) -> bool {
    value.get("workspace").and_then(toml::Value::as_bool) == Some(true)
}

/// The dependencies of every kind, those of some targets only included.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&String, &toml::Value)> {
    let of_targets = manifest.get("target").and_then(toml::Value::as_table).into_iter();
    let of_targets = of_targets.flat_map(Table::values).filter_map(toml::Value::as_table);
    std::iter::once(manifest)
        .chain(of_targets)
        .flat_map(|table| {
            ["dependencies", "dev-dependencies", "build-dependencies"].map(|kind| table.get(kind))
        })
        .filter_map(|kind| kind?.as_table())
        .flatten()
}

fn place_violations(file: &str, text: &str) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| names_a_place(line))
        .map(|(index, line)| format!("{file}:{}: {}", index + 1, line.trim()))
        .collect()
}

/// Whether this line contains a path into a home or a work folder.
fn names_a_place(line: &str) -> bool {
    ["home", "root", "work", "Users"].iter().any(|top| {
        let path = format!("/{top}/");
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let is_start = before.is_none_or(|before| !is_part_of_a_path(before));
            // The home of the user inside a sandbox.
            is_start && !line[at + path.len()..].starts_with("user")
        })
    })
}

fn is_part_of_a_path(letter: char) -> bool {
    letter.is_alphanumeric() || "._-~}>*/".contains(letter)
}

fn members() -> Vec<Member> {
    let metadata =
        MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let packages = metadata.workspace_packages();
    let is_member = |name: &str| packages.iter().any(|package| package.name == name);
    packages
        .iter()
        .map(|package| Member {
            name: package.name.to_string(),
            folder: package.manifest_path.parent().unwrap().into(),
            uses: package
                .dependencies
                .iter()
                .filter(|dependency| is_member(&dependency.name))
                // A crate's own tests may enable its features.
                .filter(|dependency| dependency.name != *package.name)
                .map(|dependency| Use {
                    name: dependency.name.clone(),
                    in_tests_only: dependency.kind == DependencyKind::Development,
                })
                .collect(),
        })
        .collect()
}

/// The files that git tracks or would add, except the lock file, which cargo writes.
pub(super) fn files_under_git(root: &Path) -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git lists the files of the repository");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files = listed.split_terminator('\0').filter(|file| *file != "Cargo.lock");
    files.map(str::to_owned).collect()
}

pub(super) fn root() -> PathBuf {
    let tests = env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    Path::new(&tests).parent().unwrap().to_path_buf()
}

fn assert_none(violations: impl IntoIterator<Item = String>) {
    let violations: Vec<_> = violations.into_iter().collect();
    assert!(violations.is_empty(), "\n  {}\n", violations.join("\n  "));
}

mod planted {
    use super::*;

    fn member(name: &str, uses: &[(&str, bool)]) -> Member {
        let uses = uses
            .iter()
            .map(|&(name, in_tests_only)| Use { name: name.to_owned(), in_tests_only })
            .collect();
        Member { name: name.to_owned(), folder: Path::new("crates").join(name), uses }
    }

    #[test]
    fn lower_tiers_and_dev_in_tests_are_allowed() {
        assert_none(tier_violations(&[
            member("sandtower-core", &[("sandtower-testkit", true)]),
            member("sandtower-retry", &[("sandtower-core", false)]),
            member("sandtower", &[("sandtower-retry", false), ("sandtower-core", true)]),
            member("tests", &[("sandtower-sim", false), ("xtask", false)]),
        ]));
    }

    #[test]
    fn a_sibling_a_higher_tier_and_a_dev_crate_are_rejected() {
        let retry = |used, in_tests_only| {
            tier_violations(&[member("sandtower-retry", &[(used, in_tests_only)])])
        };
        for in_tests_only in [false, true] {
            assert_eq!(
                retry("sandtower-admission", in_tests_only),
                ["`sandtower-retry` uses its sibling `sandtower-admission`"]
            );
            assert_eq!(
                retry("sandtower", in_tests_only),
                ["`sandtower-retry` uses `sandtower`, which stands above it"]
            );
        }
        assert_eq!(
            retry("sandtower-testkit", false),
            ["`sandtower-retry` uses `sandtower-testkit`, which is for tests only"]
        );
    }

    #[test]
    fn a_crate_in_no_tier_is_rejected() {
        assert_eq!(
            tier_violations(&[member("sandtower-new", &[])]),
            ["`sandtower-new` stands in no tier: add it to TIERS or DEV"]
        );
    }

    #[test]
    fn a_folder_of_another_name_is_rejected() {
        let mut core = member("sandtower-core", &[]);
        assert_eq!(folder_violation(&core), None);
        core.folder = "crates/core".into();
        assert_eq!(
            folder_violation(&core).as_deref(),
            Some("`sandtower-core` lives in crates/core")
        );
    }

    const INHERITING: &str = "
        [package]
        version.workspace = true
        edition.workspace = true
        rust-version.workspace = true
        license.workspace = true
        repository.workspace = true

        [lints]
        workspace = true

        [dependencies]
        bytes.workspace = true
        tokio = { workspace = true, features = ['rt'] }
    ";

    fn rejected(manifest: &str) -> Vec<String> {
        manifest_violations("x", &manifest.parse().unwrap())
    }

    #[test]
    fn a_manifest_that_says_it_again_is_rejected() {
        assert_none(rejected(INHERITING));
        for key in INHERITED {
            let said = INHERITING.replace(&format!(" {key}.workspace = true"), "");
            assert_eq!(rejected(&said), [format!("`x`: write `{key}.workspace = true`")]);
        }
        let unlinted = INHERITING.replace("[lints]", "[other]");
        assert_eq!(rejected(&unlinted), ["`x`: write `workspace = true` under `[lints]`"]);
    }

    #[test]
    fn a_dependency_with_a_version_of_its_own_is_rejected_wherever_it_stands() {
        for table in ["dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            let manifest = format!("{INHERITING}\n[{table}]\nhttp = '1'\n");
            assert_eq!(
                rejected(&manifest),
                ["`x`: declare `http` in the workspace, and use it by `workspace = true`"],
                "{table}"
            );
        }
    }

    #[test]
    fn a_place_on_a_machine_is_rejected_by_its_line() {
        let text = format!("fine\nsee {}", ["", "root", "notes"].join("/"));
        assert_eq!(place_violations("a.md", &text).len(), 1);
        assert!(place_violations("a.md", &text)[0].starts_with("a.md:2: see "));
    }

    #[test]
    fn other_paths_are_allowed() {
        assert_none(place_violations(
            "a.rs",
            "cwd: /home/user/project\ntarget/work/x\n$dir/home/x\nhttps://example.com/root/x",
        ));
    }
}
