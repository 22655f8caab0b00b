use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use sandtower_core::Rng;

use super::*;

/// What a process of this binary is to do, and with which database.
const CHILD: &str = "SANDTOWER_RATE_LIMIT_CHILD";
const DATABASE: &str = "SANDTOWER_RATE_LIMIT_DATABASE";

/// Another process on the same database.
pub(super) fn child(to: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["store::killed::a_child_of_another_test", "--exact", "--nocapture"])
        .env(CHILD, to)
        .env(DATABASE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Not a test by itself: what other tests start.
#[test]
fn a_child_of_another_test() {
    let (Some(to), Some(path)) = (std::env::var_os(CHILD), std::env::var_os(DATABASE)) else {
        return;
    };
    let limit = durable(Path::new(&path));
    match to == "asked" {
        true => sends_what_it_is_asked_for(&limit),
        false => sends_until_it_is_killed(&limit),
    }
}

fn sends_what_it_is_asked_for(limit: &RateLimit) {
    for line in std::io::stdin().lines() {
        send(limit, line.unwrap().parse().unwrap());
        limit.sync();
        println!("counts {}", count(limit));
    }
}

fn sends_until_it_is_killed(limit: &RateLimit) {
    let (start, mut out) = (Tick::now(), std::io::stdout());
    for sent in 1_u64.. {
        send(limit, 1);
        let millis = Tick::now().since(start).as_millis();
        // The reader may be gone already.
        if writeln!(out, "sent {sent} {millis}").and_then(|()| out.flush()).is_err() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Kills a child in the middle of its work, after about so long; what it said until then: how many
/// it had sent, and when.
fn kill_one(path: &Path, after: u64) -> Vec<(u64, u64)> {
    let mut child = child("until killed", path).spawn().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((_, numbers)) = line.split_once("sent ") else { continue };
        let (sent, millis) = numbers.split_once(' ').unwrap();
        let (sent, millis) = (sent.parse().unwrap(), millis.parse().unwrap());
        said.push((sent, millis));
        if millis >= after {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

#[test]
fn of_a_process_killed_fifty_times_nothing_older_than_a_second_is_lost() {
    let all = Mutex::new((0, 0));
    std::thread::scope(|scope| {
        for number in 0..10 {
            let all = &all;
            scope.spawn(move || {
                let folder = Folder::new(&format!("killed-{number}"));
                let mut rng = Rng::with_seed(number);
                // A process that lives on, and counts with those that are killed.
                let ours = stored(&folder.file());
                let mut before = 0;
                for _ in 0..5 {
                    let said = kill_one(&folder.file(), rng.u64(1_000..1_600));
                    let &(last, killed) = said.last().unwrap();
                    let old = said.iter().rev().find(|(_, at)| at + 1_000 <= killed);
                    let old = old.map_or(0, |(sent, _)| *sent);
                    ours.sync();
                    let survived = count(&ours);
                    assert!(survived >= before + old, "{survived} of {before} and {old}");
                    // The child may have sent one more before it could say so.
                    assert!(survived <= before + last + 1, "{survived}: {before} and {last}");
                    send(&ours, 10);
                    ours.sync();
                    assert_eq!(found(&folder.file()), survived + 10, "a kill counts nothing twice");
                    let mut all = all.lock().unwrap();
                    all.0 += last;
                    all.1 += (before + last).saturating_sub(survived);
                    before = survived + 10;
                }
            });
        }
    });
    let (sent, lost) = *all.lock().unwrap();
    println!("killed 50 times: {sent} sent, {lost} lost, none of them older than a second");
    assert!(sent > 5_000 && lost < sent);
}
