//! The unit file and the container file of the documents: what they name exists, and they give a drain its time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sandtower_gateway::config::{Config, Source};

use super::process;

/// How long orphaned sandboxes are killed after a drain.
const CLEAN_UP: Duration = Duration::from_secs(150);

fn document(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A folder with an empty configuration, gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = format!("sandtower-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("sandtower.toml"), "").unwrap();
        Self(folder)
    }

    /// The text with the paths of this folder in place of the system's.
    fn local(&self, text: &str) -> String {
        let folder = self.0.to_str().unwrap();
        text.replace("/etc/sandtower", folder)
            .replace("/var/lib/sandtower", folder)
            .replace("/usr/local/bin/sandtower", env!("CARGO_BIN_EXE_sandtower"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let named = |line: &'a str| line.strip_prefix(name)?.strip_prefix('=');
    unit.lines().filter_map(named).collect()
}

fn longest_shutdown() -> Duration {
    let times = Config::default().shutdown;
    times.delay + times.longest + CLEAN_UP
}

#[test]
fn the_commands_of_the_unit_are_valid() {
    let (unit, folder) = (document("sandtower.service"), Folder::new("unit"));
    let unit = folder.local(&unit);
    for name in ["ExecStartPre", "ExecStart"] {
        let [command] = values(&unit, name)[..] else { panic!("one {name}") };
        // What would be served is checked in place of that.
        let arguments =
            command.split(' ').skip(1).map(|it| if it == "serve" { "check" } else { it });
        let checked = process::run(arguments);
        let problem = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{command}: {problem}");
    }
    assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -s HUP $MAINPID"]);
}

#[test]
fn the_unit_gives_a_drain_its_time() {
    let unit = document("sandtower.service");
    let [minutes] = values(&unit, "TimeoutStopSec")[..] else { panic!("one time") };
    let minutes: u64 = minutes.strip_suffix("min").unwrap().parse().unwrap();
    assert!(Duration::from_secs(60 * minutes) > longest_shutdown());
    let files: usize = values(&unit, "LimitNOFILE")[0].parse().unwrap();
    assert!(files > 2 * Config::default().limits.connections.get());
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = Folder::new("systemd");
    let file = folder.0.join("sandtower.service");
    std::fs::write(&file, folder.local(&document("sandtower.service"))).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output();
    // Where there is no systemd, nothing reads the file either.
    let Ok(verified) = verified else { return };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("sandtower.service"), "{said}");
}

#[test]
fn the_container_file_names_what_exists_and_gives_a_drain_its_time() {
    let (file, folder) = (document("Containerfile"), Folder::new("container"));
    let local = folder.local(&file);
    let set = local.split_whitespace().filter_map(|word| word.split_once('='));
    let set = set.filter(|(name, _)| name.starts_with("SANDTOWER__"));
    let set: Vec<_> = set.map(|(name, value)| (name.into(), value.into())).collect();
    // Two of its own and the one that a comment shows.
    assert_eq!(set.len(), 3, "{set:?}");
    let config = Source::new().environment(set).read().unwrap();
    assert_eq!((config.limits.keys.get(), config.listen.port()), (100, 4_000));
    assert!(file.contains(&format!("EXPOSE {}", config.listen.port())));
    let (_, seconds) = file.split_once("--stop-timeout ").unwrap();
    let seconds = seconds.split(' ').next().unwrap().parse().unwrap();
    assert!(Duration::from_secs(seconds) > longest_shutdown());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let (_, version) = manifest.split_once("rust-version = \"").unwrap();
    let version = version.split('"').next().unwrap();
    assert!(file.contains(&format!("rust:{version}-")), "{version}");
    assert!(file.contains("--package sandtower-gateway"));
}
