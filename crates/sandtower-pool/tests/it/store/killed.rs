use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use sandtower_pool::{SqliteStock, Step, Stock, Wall};

use super::{Folder, call, e2b};

/// Which database a process of this binary writes until it is killed.
const DATABASE: &str = "SANDTOWER_POOL_DATABASE";

/// Not a test by itself: what another test starts.
#[test]
fn a_child_of_another_test() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let stock = SqliteStock::open(Path::new(&path), &e2b("killed")).unwrap();
    let left = stock.load().unwrap().unwrap_or_default();
    let mut out = std::io::stdout();
    for number in left.len() as u64 + 1.. {
        stock.record(&[Step::Ordered { call: call(number), until: Wall(1) }]).unwrap();
        // The reader may be gone already.
        if writeln!(out, "\nwritten {number}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn what_was_recorded_outlives_a_process_that_is_killed() {
    let folder = Folder::new("killed");
    let mut written = 0;
    for round in 1..=10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::killed::a_child_of_another_test", "--exact", "--nocapture"])
            .env(DATABASE, folder.file())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, number)) = line.split_once("written ") else { continue };
            written = number.parse().unwrap();
            if written >= round * 40 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let stock = SqliteStock::open(folder.file(), &e2b("killed")).unwrap();
        let left = stock.load().unwrap().unwrap();
        assert!(left.len() as u64 >= written, "{} of {written}", left.len());
    }
    assert!(written >= 400);
}
