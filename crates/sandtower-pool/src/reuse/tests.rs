//! The script of the default cleaning, run by real shells: as a user without rights, in namespaces of its own, where
//! everything outside of a scratch folder is read-only. That is checked before the script is run.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use super::*;

const ISOLATED: &str = include_str!("isolated.sh");

/// What a case printed, by what its lines begin with.
struct Ran(String);

impl Ran {
    fn of(&self, name: &str) -> String {
        let of = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
        self.0.lines().filter_map(of).collect::<Vec<_>>().join("\n")
    }

    fn is_clean(&self) {
        assert_eq!(self.of("printed"), IS_CLEAN, "{}", self.0);
        assert_eq!(
            (self.of("home"), self.of("process")),
            (String::new(), String::new()),
            "{}",
            self.0
        );
        assert_eq!(self.of("other"), "kept", "{}", self.0);
    }
}

/// A folder that is gone with its test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Fills a home by `setup`, as root, and `case`, as the user; then cleans it.
fn run(name: &str, setup: &str, case: &str) -> Ran {
    let scratch = format!("sandtower-clean-{}-{name}", std::process::id());
    let scratch = Scratch(std::env::temp_dir().join(scratch));
    let (at, outside) = (scratch.0.join("at"), scratch.0.join("outside"));
    std::fs::create_dir_all(&at).unwrap();
    std::fs::write(&outside, "").unwrap();
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let user: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
    let output = Command::new("timeout")
        .args(["--signal=KILL", "60", "unshare"])
        .args(user)
        .args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "--ipc"])
        .args(["sh", "-c", ISOLATED])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SCRATCH", &at)
        .env("OUTSIDE", &outside)
        .env("NAMESPACE", std::fs::read_link("/proc/self/ns/pid").unwrap())
        .env("SETUP", setup)
        .env("CASE", case)
        .env("CLEAN", command())
        .output()
        .expect("`timeout` of coreutils is on the path");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the script is run in isolation alone, and that is not available here: {}. It needs `unshare` and \
         `setpriv` of util-linux, and the right to create namespaces: root with CAP_SYS_ADMIN, or \
         `sysctl kernel.unprivileged_userns_clone=1`.\n{printed}{errors}",
        output.status
    );
    assert!(std::fs::read(&outside).unwrap().is_empty());
    Ran(printed)
}

#[test]
fn a_home_is_emptied_whatever_its_files_are_called_and_allow() {
    let ran = run(
        "files",
        "",
        r#"
        cd "$HOME"
        mkdir -p .config/deep -- '-rf' 'a b' $'new\nline' $'\n' unreadable locked/inner
        touch .hidden .config/deep/.x -- -delete '-rf/*' '*' 'a b/$(touch x)' $'new\nline/\t' $'\n/\n'
        touch unreadable/file locked/inner/file
        ln -s "$OTHER" link
        ln -s "$OTHER/kept" .config/link
        ln -s . loop
        mkfifo fifo
        chmod 000 unreadable
        chmod -R a-w locked
        chmod 500 "$HOME"
        "#,
    );
    assert_ne!(ran.of("before"), "0", "{}", ran.0);
    ran.is_clean();
}

#[test]
fn daemons_end_and_those_that_start_each_other() {
    let ran = run(
        "processes",
        "",
        r#"
        setsid bash -c 'trap "" TERM HUP INT; while :; do sleep 1; done' &
        setsid bash -c 'while :; do sleep 100 & wait; done' &
        # Each starts the next one and ends: it is never there for long.
        export NEXT='setsid bash -c "$NEXT" & sleep 0.01'
        setsid bash -c "$NEXT" &
        setsid bash -c 'while :; do touch "$HOME/again"; done' &
        sleep 0.3
        "#,
    );
    let running: u32 = ran.of("running").parse().unwrap();
    assert!(running >= 7, "it is no test: {}", ran.0);
    ran.is_clean();
}

#[test]
fn what_a_user_defines_in_a_profile_does_not_pretend_to_be_clean() {
    let functions = run(
        "functions",
        "",
        r#"
        cat > "$HOME/.bash_profile" <<'END'
        find() { :; }; kill() { :; }; alias find=true; export -f find kill
        export PATH="$HOME/bin:$PATH"
        setsid sleep 1000 &
END
        mkdir "$HOME/bin"
        printf '#!/bin/sh\n' | tee "$HOME/bin/find" "$HOME/bin/kill" "$HOME/bin/id"
        chmod +x "$HOME"/bin/*
        "#,
    );
    functions.is_clean();
    let leaves = run("leaves", "", r#"echo 'exit 0' > "$HOME/.bash_profile""#);
    assert!(is_clean(&leaves.of("printed")).is_err(), "{}", leaves.0);
}

#[test]
fn what_cannot_be_cleaned_is_reported_and_what_is_mounted_is_left_alone() {
    let mounted = run("mounted", "mount_in_home", "touch \"$HOME/file\"");
    assert!(mounted.of("printed").ends_with("home/mounted is left"), "{}", mounted.0);
    assert!(mounted.of("home").contains("mounted/kept"), "{}", mounted.0);
    assert!(!mounted.of("home").contains("file"), "{}", mounted.0);
    let linked = run("linked", "linked_home", "touch \"$HOME/file\"");
    assert_ne!(linked.of("before"), "0", "{}", linked.0);
    linked.is_clean();
    // Only where there is another user than root can something be root's.
    let of_root = run("of-root", "root_in_home", "true");
    let is_reported = of_root.of("printed").contains("of-root");
    assert!(is_reported || of_root.of("home").is_empty(), "{}", of_root.0);
}

#[test]
fn only_the_word_itself_says_that_it_is_clean() {
    assert!(is_clean("clean\n").is_ok());
    for printed in ["", "\n", "process 7 is left\n", "clean\nprocess 7 is left", "unclean"] {
        assert!(is_clean(printed).is_err(), "{printed:?}");
    }
}
