use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use super::killed::child;
use super::*;

#[test]
fn several_instances_count_together() {
    let folder = Folder::new("instances");
    let limits: Vec<_> = (0..3).map(|_| stored(&folder.file())).collect();
    for round in 1..=20 {
        for (limit, times) in limits.iter().zip([1, 2, 4]) {
            send(limit, times);
            limit.sync();
        }
        for limit in &limits {
            limit.sync();
            limit.sync();
            assert_eq!(count(limit), 7 * round);
        }
    }
    drop(limits);
    assert_eq!(found(&folder.file()), 140);
}

#[test]
fn two_processes_count_together() {
    let folder = Folder::new("processes");
    let ours = durable(&folder.file());
    let mut other = child("asked", &folder.file()).stdin(Stdio::piped()).spawn().unwrap();
    let mut ask = other.stdin.take().unwrap();
    let mut said = BufReader::new(other.stdout.take().unwrap()).lines();
    let mut said = || {
        let line = said.by_ref().map(Result::unwrap).find(|line| line.contains("counts "));
        line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let mut all = 0;
    for round in 1..=20 {
        send(&ours, round);
        ours.sync();
        // It sends as many, and says how many it counts.
        writeln!(ask, "{round}").unwrap();
        all += 2 * round;
        assert_eq!(said(), all);
        ours.sync();
        assert_eq!(count(&ours), all);
    }
    drop(ask);
    assert!(other.wait().unwrap().success());
    ours.close().unwrap();
    assert_eq!(found(&folder.file()), all);
}

#[test]
fn a_database_that_is_moved_away_is_written_no_more() {
    let folder = Folder::new("moved");
    let limit = stored(&folder.file());
    send(&limit, 3);
    limit.sync();
    for name in ["rate-limit.db", "rate-limit.db-wal", "rate-limit.db-shm"] {
        let _ = fs::rename(folder.0.join(name), folder.0.join(format!("old-{name}")));
    }
    send(&limit, 2);
    limit.sync();
    assert_eq!((count(&limit), found(&folder.file())), (5, 2));
}
