//! What outlives its process, by a process that is killed and by files that are damaged.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{
    Allowance, Clock, Completion, Gate, Operation, RequestInfo, Rng, Scope, Take, Verdict,
};
use sandtower_rate_limit::{Config, Entry, FileStore, RateLimit, Store, StoreError};
use sandtower_time::TokioClock;

const CREATE: Operation = Operation::new(1, "sandbox_create");
const HOUR: Duration = Duration::from_secs(3_600);
/// A millisecond after 1970 at which all these tests begin.
const NOW: u64 = 1_800_000_000_000;

/// A place for files that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sandtower-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("rate-limit")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn durable(path: &Path) -> RateLimit {
    RateLimit::durable(Config::new("E2B"), path).unwrap()
}

fn send(limit: &RateLimit, times: u64) {
    for _ in 0..times {
        let now = TokioClock.now();
        let Take::Open(token) = limit.take(&RequestInfo::new(CREATE), now) else {
            panic!("observes")
        };
        let allowance = Allowance::new(10, 0, Duration::from_secs(2));
        let verdict = Verdict::success().allowance(allowance);
        limit.settle(&RequestInfo::new(CREATE), token, &Completion::new(verdict, now, now));
    }
}

fn count(limit: &RateLimit) -> u64 {
    limit.status(CREATE).count
}

#[test]
fn what_was_counted_and_learned_is_there_after_a_restart() {
    let folder = Folder::new("restart");
    let before = durable(&folder.file());
    send(&before, 7);
    drop(before);
    let after = durable(&folder.file());
    assert_eq!(count(&after), 7);
    send(&after, 1);
    let learned = after.learned(CREATE, Scope::ALL).unwrap();
    assert_eq!(learned.interval_low, Duration::from_millis(100));
    drop(after);
    assert_eq!(count(&durable(&folder.file())), 8);
}

#[test]
fn what_is_given_back_after_it_was_saved_is_not_counted_again() {
    let folder = Folder::new("given-back");
    let limit = durable(&folder.file());
    send(&limit, 2);
    let Take::Open(token) = limit.take(&RequestInfo::new(CREATE), TokioClock.now()) else {
        panic!("observes")
    };
    limit.sync();
    limit.give_back(&RequestInfo::new(CREATE), token);
    drop(limit);
    assert_eq!(count(&durable(&folder.file())), 2);
}

/// The file of a store in which 5 records of 10 were written.
fn written(folder: &Folder) -> Vec<u8> {
    let store = FileStore::new(folder.file(), HOUR);
    for _ in 0..5 {
        store.exchange(&[sent(NOW, 10)], NOW).unwrap();
    }
    drop(store);
    fs::read(folder.file()).unwrap()
}

fn sent(at: u64, count: i64) -> Entry {
    Entry::sent(CREATE, at, count)
}

/// How many a store finds.
fn found(path: &Path) -> i64 {
    let entries = FileStore::new(path, HOUR).exchange(&[], NOW).unwrap();
    entries.iter().map(counted).sum()
}

fn counted(entry: &Entry) -> i64 {
    match entry {
        Entry::Sent { count, .. } => *count,
        _ => 0,
    }
}

#[test]
fn a_file_cut_off_anywhere_loses_what_was_cut_and_no_more() {
    let folder = Folder::new("cut");
    let whole = written(&folder);
    for length in 0..whole.len() {
        fs::write(folder.file(), &whole[..length]).unwrap();
        let records = length.saturating_sub(8) / 40;
        assert_eq!(found(&folder.file()), 10 * records as i64, "cut at {length}");
        // And it goes on.
        let store = FileStore::new(folder.file(), HOUR);
        store.exchange(&[sent(NOW, 1)], NOW).unwrap();
        drop(store);
        assert_eq!(found(&folder.file()), 10 * records as i64 + 1, "cut at {length}");
    }
}

#[test]
fn a_bit_that_flipped_anywhere_costs_one_record_at_most_and_stops_no_start() {
    let folder = Folder::new("flipped");
    let whole = written(&folder);
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        fs::write(folder.file(), &damaged).unwrap();
        let left = if place < 8 { 0 } else { 40 };
        assert_eq!(found(&folder.file()), left, "flipped at {place}");
    }
}

#[test]
fn a_file_of_something_else_is_put_aside_and_the_limit_works() {
    let folder = Folder::new("else");
    fs::write(folder.file(), "something else altogether").unwrap();
    let limit = durable(&folder.file());
    send(&limit, 3);
    drop(limit);
    assert_eq!(count(&durable(&folder.file())), 3);
    let aside = folder.0.join("rate-limit.corrupt");
    assert_eq!(fs::read(aside).unwrap(), b"something else altogether");
}

#[test]
fn a_store_that_cannot_be_used_loses_nothing_but_the_restart_and_comes_back() {
    let folder = Folder::new("lost");
    let path = folder.0.join("not there yet").join("rate-limit");
    let limit = durable(&path);
    send(&limit, 3);
    limit.sync();
    assert_eq!((count(&limit), limit.cleanup()), (3, 0));
    fs::create_dir(path.parent().unwrap()).unwrap();
    limit.sync();
    drop(limit);
    assert_eq!(count(&durable(&path)), 3);
}

#[test]
fn a_second_process_on_one_file_counts_by_itself() {
    let folder = Folder::new("two");
    let first = durable(&folder.file());
    let second = durable(&folder.file());
    send(&first, 2);
    send(&second, 3);
    second.sync();
    assert_eq!((count(&first), count(&second)), (2, 3));
}

#[test]
fn what_expired_is_removed_in_batches_of_a_hundred_and_five_hundred_a_run() {
    let folder = Folder::new("expired");
    let store = FileStore::new(folder.file(), HOUR);
    let rows: Vec<_> = (0..1_200).map(|row| sent(NOW + row * 3_600_000, 1)).collect();
    store.exchange(&rows, NOW).unwrap();
    let later = NOW + 1_201 * 3_600_000 + 100_000;
    let removed: Vec<_> = (0..4).map(|_| store.cleanup(later).unwrap()).collect();
    assert_eq!(removed, [500, 500, 200, 0]);
    assert!(fs::metadata(folder.file()).unwrap().len() < 200 * 40);
}

#[test]
fn museum_24_the_file_grows_with_time_and_not_with_traffic() {
    let folder = Folder::new("grows");
    let store = FileStore::new(folder.file(), HOUR);
    for second in 0..3 {
        let rows: Vec<_> = (0..5_000).map(|_| sent(NOW + second * 1_000, 1)).collect();
        store.exchange(&rows, NOW).unwrap();
    }
    assert!(fs::metadata(folder.file()).unwrap().len() < 6_000 * 40);
    drop(store);
    assert_eq!(found(&folder.file()), 15_000);
}

/// A store that several instances share: what a shared one will be.
#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<Vec<(usize, Entry)>>,
}

#[derive(Debug)]
struct Instance {
    shared: Arc<Shared>,
    number: usize,
    read: Mutex<usize>,
}

impl Store for Instance {
    fn exchange(&self, ours: &[Entry], _now: u64) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.shared.entries.lock().unwrap();
        entries.extend(ours.iter().map(|entry| (self.number, *entry)));
        let mut read = self.read.lock().unwrap();
        let from = std::mem::replace(&mut *read, entries.len());
        let new = entries[from..].iter().filter(|(number, _)| *number != self.number);
        Ok(new.map(|(_, entry)| *entry).collect())
    }
}

#[test]
fn several_instances_of_a_shared_store_count_together() {
    let shared = Arc::new(Shared::default());
    let limits: Vec<_> = (0..3)
        .map(|number| {
            let store = Instance { shared: Arc::clone(&shared), number, read: Mutex::new(0) };
            RateLimit::with_store(Config::new("E2B"), Arc::new(store)).unwrap()
        })
        .collect();
    for (limit, times) in limits.iter().zip([1, 2, 4]) {
        send(limit, times);
        limit.sync();
    }
    for limit in &limits {
        limit.sync();
        limit.sync();
        assert_eq!(count(limit), 7);
    }
}

/// Set for the process that is to be killed.
const CHILD: &str = "SANDTOWER_RATE_LIMIT_CHILD";

/// Not a test by itself: what is killed. Counts, and says so, until it is.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let limit = durable(Path::new(&path));
    let (start, mut out) = (TokioClock.now(), std::io::stdout());
    for sent in 1_u64.. {
        send(&limit, 1);
        let millis = TokioClock.now().since(start).as_millis();
        // Whoever listens may be gone already.
        if writeln!(out, "sent {sent} {millis}").and_then(|()| out.flush()).is_err() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Kills a child in the middle of its work, after about so long; what it said until then: how many
/// it had sent, and when.
fn kill_one(path: &Path, after: u64) -> Vec<(u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store::child", "--exact", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
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
fn of_a_process_killed_fifty_times_no_record_older_than_a_second_is_lost() {
    let worst = Mutex::new((0, 0));
    std::thread::scope(|scope| {
        for number in 0..10 {
            let worst = &worst;
            scope.spawn(move || {
                let folder = Folder::new(&format!("killed-{number}"));
                let mut rng = Rng::with_seed(number);
                let mut before = 0;
                for _ in 0..5 {
                    let said = kill_one(&folder.file(), rng.u64(1_000..1_600));
                    let &(last, killed) = said.last().unwrap();
                    let old = said.iter().rev().find(|(_, at)| at + 1_000 <= killed);
                    let old = old.map_or(0, |(sent, _)| *sent);
                    let limit = durable(&folder.file());
                    let survived = count(&limit);
                    drop(limit);
                    assert!(survived >= before + old, "{survived} of {before} and {old}");
                    let mut worst = worst.lock().unwrap();
                    worst.0 += last;
                    worst.1 += (before + last).saturating_sub(survived);
                    before = survived;
                }
            });
        }
    });
    let (sent, lost) = *worst.lock().unwrap();
    println!("killed 50 times: {sent} sent, {lost} lost, none of them older than a second");
    assert!(sent > 5_000 && lost < sent);
}
