//! What each package has: one test binary, and what its page and its documentation show.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use cargo_metadata::{MetadataCommand, Package};

use super::structure::root;

/// The address of the repository's files, for links that also work outside of it.
const FILES: &str = "https://github.com/sandtower/sandtower/blob/main/";

#[test]
fn a_package_has_one_test_binary() {
    // Each binary links the whole crate again: the tests of one crate are modules of one `it`.
    assert_none(packages().iter().flat_map(|package| {
        let tests = package.targets.iter().filter(|target| target.is_test());
        tests.filter(|target| target.name != "it").map(|target| {
            format!("`{}`: make tests/{} a module of tests/it", package.name, target.name)
        })
    }));
}

#[test]
fn a_package_that_users_add_describes_itself() {
    assert_none(published().iter().flat_map(|package| {
        let folder = package.manifest_path.parent().unwrap();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        let library = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
        let docs_rs = package.metadata["docs"]["rs"]["all-features"].as_bool();
        let has = [
            ("a description", package.description.is_some()),
            ("`repository.workspace = true`", package.repository.is_some()),
            ("keywords, five at most", (1..=5).contains(&package.keywords.len())),
            ("categories", !package.categories.is_empty()),
            ("a README.md that begins with its name", begins_with_name(&readme, package)),
            ("a README.md with an example", readme.contains("```rust")),
            ("a README.md that links the guide", readme.contains(&format!("{FILES}docs/guide.md"))),
            ("LICENSE-MIT, a link to that of the workspace", folder.join("LICENSE-MIT").exists()),
            ("LICENSE-APACHE, likewise", folder.join("LICENSE-APACHE").exists()),
            ("`[package.metadata.docs.rs]`, as its siblings", docs_rs == Some(true)),
            ("`doc_cfg` in lib.rs, as its siblings", library.contains("docsrs, feature(doc_cfg)")),
            (
                "README.md as a doctest in lib.rs",
                library.contains("include_str!(\"../README.md\")"),
            ),
        ];
        let missing = has.into_iter().filter(|(_, has)| !has);
        missing.map(|(what, _)| format!("`{}` lacks {what}", package.name)).collect::<Vec<_>>()
    }));
}

#[test]
fn links_to_the_repository_lead_to_files() {
    let root = root();
    let texts = published().into_iter().flat_map(|package| {
        let folder = package.manifest_path.parent().unwrap().to_path_buf();
        ["README.md", "src/lib.rs"].map(|file| folder.join(file))
    });
    let mut links = 0;
    for file in texts {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for link in text.split(FILES).skip(1) {
            let path: String =
                link.chars().take_while(|letter| !")#>`\n ".contains(*letter)).collect();
            assert!(root.join(&path).is_file(), "{file}: {path}");
            links += 1;
        }
        for relative in ["](../", "](./", "](docs/"] {
            assert!(!text.contains(relative), "{file}: a link to a file works on GitHub alone");
        }
    }
    assert!(links > 10, "{links}");
}

#[test]
fn what_users_add_can_be_packaged() {
    // A dependency by path alone, or on a crate that is not published, is found here; the build of
    // what is packaged is a step of a release.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["package", "--offline", "--list", "--allow-dirty"]).current_dir(root());
    for package in published() {
        command.arg(format!("--package={}", package.name));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let unversioned = published().into_iter().flat_map(|package| {
        let dependencies = package.dependencies.iter().filter(|dependency| {
            let is_needed = dependency.kind == cargo_metadata::DependencyKind::Normal;
            is_needed && dependency.path.is_some() && dependency.req.to_string() == "*"
        });
        dependencies
            .map(|dependency| format!("`{}`: `{}` needs a version", package.name, dependency.name))
            .collect::<Vec<_>>()
    });
    assert_none(unversioned);
}

#[test]
fn each_package_with_features_is_checked_feature_by_feature() {
    let checked = fs::read_to_string(root().join("crates/xtask/src/features.rs")).unwrap();
    let with_features = packages()
        .into_iter()
        .filter(|package| package.features.keys().any(|feature| feature != "default"));
    assert_none(
        with_features.filter(|package| !checked.contains(&format!("\"{}\"", package.name))).map(
            |package| {
                format!("`{}` has features: add it to crates/xtask/src/features.rs", package.name)
            },
        ),
    );
}

fn begins_with_name(readme: &str, package: &Package) -> bool {
    readme.lines().next() == Some(&format!("# {}", package.name))
}

fn published() -> Vec<Package> {
    let is_published = |package: &Package| package.publish.as_ref().is_none_or(|to| !to.is_empty());
    packages().into_iter().filter(is_published).collect()
}

fn packages() -> Vec<Package> {
    let manifest = Path::new(&root()).join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    metadata.workspace_packages().into_iter().cloned().collect()
}

fn assert_none(violations: impl IntoIterator<Item = String>) {
    let violations: Vec<_> = violations.into_iter().collect();
    assert!(violations.is_empty(), "\n  {}\n", violations.join("\n  "));
}
