//! Subscribers of changes in directories, each with a bounded queue.

use std::collections::VecDeque;
use std::sync::Weak;

use tokio::sync::Notify;

use super::path::parent;
use super::*;

/// The most watchers of one sandbox: the default limit of Linux for a user.
const MAX_WATCHERS: usize = 128;
/// The most events that a watcher keeps for its reader.
const MAX_EVENTS: usize = 1_024;
/// What the names in them may take together, in bytes.
const MAX_HELD: usize = 128 * 1024;

/// What is watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// The directory's clean path.
    pub(crate) directory: String,
    /// Whether what lies deeper is watched too.
    pub(crate) recursive: bool,
    /// Whether events tell what is known of the file.
    pub(crate) with_entries: bool,
}

/// Something that happened in a directory that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) change: Change,
    /// The path within the directory; `.` is the directory itself.
    pub(crate) name: String,
    pub(crate) entry: Option<Entry>,
}

impl Event {
    /// What its names and metadata take, in bytes.
    fn names(&self) -> usize {
        self.name.len()
            + self.entry.as_ref().map_or(0, |entry| {
                let metadata = entry.metadata.iter().map(|(key, value)| key.len() + value.len());
                entry.path.len() + metadata.sum::<usize>()
            })
    }
}

/// More happened than a watcher holds, so that events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// There are too many watchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyWatchers;

/// Sees what happens in a directory, until it is dropped or the directory is gone.
pub(crate) struct Watcher {
    watched: Watched,
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    held: usize,
    overflowed: bool,
    /// The directory was removed or has another name: nothing more is seen.
    blind: bool,
}

impl Watcher {
    /// What happened since this was last asked.
    pub(crate) fn take(&self) -> Result<Vec<Event>, Overflow> {
        let mut queue = lock(&self.queue);
        if queue.overflowed {
            return Err(Overflow);
        }
        queue.held = 0;
        Ok(queue.events.drain(..).collect())
    }

    /// What happens next.
    pub(crate) async fn next(&self) -> Result<Event, Overflow> {
        loop {
            {
                let mut queue = lock(&self.queue);
                if queue.overflowed {
                    return Err(Overflow);
                }
                if let Some(event) = queue.events.pop_front() {
                    queue.held -= event.names();
                    return Ok(event);
                }
            }
            // A change between the look and this has left its permit.
            self.filled.notified().await;
        }
    }

    fn tell(&self, tree: &Tree, change: Change, path: &str) {
        let Some(name) = self.watched.name_of(path) else { return };
        let mut queue = lock(&self.queue);
        if queue.blind || queue.overflowed {
            return;
        }
        queue.blind = name == "." && matches!(change, Change::Remove | Change::Rename);
        let entry = self.watched.with_entries.then(|| tree.entry(path).ok()).flatten();
        let event = Event { change, name: name.to_owned(), entry };
        queue.held += event.names();
        queue.events.push_back(event);
        if queue.events.len() > MAX_EVENTS || queue.held > MAX_HELD {
            *queue = Queue { overflowed: true, ..Queue::default() };
        }
        drop(queue);
        self.filled.notify_one();
    }
}

impl Watched {
    /// What a path is called by who watches this, if it is seen.
    fn name_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        if path == self.directory {
            return Some(".");
        }
        if !self.recursive && parent(path) != self.directory {
            return None;
        }
        let below = path.strip_prefix(self.directory.trim_end_matches('/'))?;
        below.strip_prefix('/')
    }
}

/// The watchers of a sandbox.
#[derive(Default)]
pub(crate) struct Watchers {
    all: Vec<Weak<Watcher>>,
    /// Those that are asked for their events by name.
    named: BTreeMap<String, Arc<Watcher>>,
    made: u64,
}

impl Watchers {
    pub(super) fn add(&mut self, watched: Watched) -> Result<Arc<Watcher>, TooManyWatchers> {
        self.all.retain(|watcher| watcher.strong_count() > 0);
        if self.all.len() >= MAX_WATCHERS {
            return Err(TooManyWatchers);
        }
        let watcher = Watcher { watched, queue: Mutex::default(), filled: Notify::new() };
        let watcher = Arc::new(watcher);
        self.all.push(Arc::downgrade(&watcher));
        Ok(watcher)
    }

    /// Keeps a watcher under the name that is made of its number.
    pub(crate) fn keep(
        &mut self,
        watcher: Arc<Watcher>,
        name: impl FnOnce(u64) -> String,
    ) -> String {
        self.made += 1;
        let name = name(self.made);
        self.named.insert(name.clone(), watcher);
        name
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Watcher>> {
        self.named.get(name).cloned()
    }

    /// Drops the watcher of this name; false if there is none.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.named.remove(name).is_some()
    }

    /// Tells what has changed; false if nothing watches any more.
    pub(super) fn tell(&mut self, tree: &Tree, changes: &[(Change, String)]) -> bool {
        self.all.retain(|watcher| {
            let Some(watcher) = watcher.upgrade() else { return false };
            changes.iter().for_each(|(change, path)| watcher.tell(tree, *change, path));
            true
        });
        !self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Files, *};

    fn watch(files: &Files, directory: &str, recursive: bool) -> Arc<Watcher> {
        let directory = directory.to_owned();
        files.watch(Watched { directory, recursive, with_entries: false }).unwrap()
    }

    fn seen(watcher: &Watcher) -> Vec<(Change, String)> {
        let events = watcher.take().unwrap();
        events.into_iter().map(|event| (event.change, event.name)).collect()
    }

    fn expected(events: &[(Change, &str)]) -> Vec<(Change, String)> {
        events.iter().map(|(change, name)| (*change, (*name).to_owned())).collect()
    }

    #[test]
    fn each_change_is_seen_in_its_order_and_once() {
        use Change::{Chmod, Create, Remove, Rename, Write};
        let files = Files::default();
        let watcher = watch(&files, "/tmp", false);
        files.upload("/tmp/a", "one".into(), "user", BTreeMap::new()).unwrap();
        assert_eq!(seen(&watcher), expected(&[(Create, "a"), (Chmod, "a"), (Write, "a")]));
        files.upload("/tmp/a", "".into(), "user", BTreeMap::new()).unwrap();
        assert_eq!(seen(&watcher), expected(&[(Chmod, "a"), (Write, "a")]));
        files.append("/tmp/a", b"more", "user").unwrap();
        files.append("/tmp/a", b"", "user").unwrap();
        files.truncate("/tmp/b", "user").unwrap();
        assert_eq!(seen(&watcher), expected(&[(Write, "a"), (Create, "b")]));
        files.rename("/tmp/a", "/tmp/b", "user").unwrap();
        assert_eq!(seen(&watcher), expected(&[(Rename, "a"), (Create, "b")]));
        files.rename("/tmp/b", "/var/b", "user").unwrap();
        files.rename("/var/b", "/tmp/c", "user").unwrap();
        files.remove("/tmp/c").unwrap();
        let out_and_in = [(Rename, "b"), (Create, "c"), (Remove, "c")];
        assert_eq!(seen(&watcher), expected(&out_and_in));
        assert_eq!(seen(&watcher), []);
    }

    #[test]
    fn what_lies_deeper_is_seen_by_who_asked_for_it() {
        use Change::{Chmod, Create, Remove, Write};
        let files = Files::default();
        let (near, deep) = (watch(&files, "/tmp", false), watch(&files, "/tmp", true));
        let root = watch(&files, "/", true);
        files.upload("/tmp/d/x", "1".into(), "user", BTreeMap::new()).unwrap();
        files.remove("/tmp/d").unwrap();
        files.make_directory("/tmpx", "user").unwrap();
        assert_eq!(seen(&near), expected(&[(Create, "d"), (Chmod, "d"), (Remove, "d")]));
        let all = [
            (Create, "d"),
            (Chmod, "d"),
            (Create, "d/x"),
            (Chmod, "d/x"),
            (Write, "d/x"),
            (Remove, "d/x"),
            (Remove, "d"),
        ];
        assert_eq!(seen(&deep), expected(&all));
        assert_eq!(seen(&root).last().unwrap(), &(Create, String::from("tmpx")));
    }

    #[test]
    fn a_directory_that_is_gone_is_seen_to_go_and_nothing_after_it() {
        let files = Files::default();
        files.make_directory("/tmp/d", "user").unwrap();
        let watcher = watch(&files, "/tmp/d", false);
        files.remove("/tmp/d").unwrap();
        files.upload("/tmp/d/x", "1".into(), "user", BTreeMap::new()).unwrap();
        assert_eq!(seen(&watcher), expected(&[(Change::Remove, ".")]));
    }

    #[test]
    fn watchers_and_what_they_hold_are_bounded() {
        let files = Files::default();
        let watcher = watch(&files, "/tmp", false);
        for _ in 0..=MAX_EVENTS {
            files.append("/tmp/a", b"x", "user").unwrap();
        }
        assert_eq!(watcher.take(), Err(Overflow));
        drop(watcher);
        let deep = format!("/tmp{}/f", format!("/{}", "d".repeat(200)).repeat(19));
        files.write(&deep, "x", "user").unwrap();
        let watcher = watch(&files, "/", true);
        let fit = MAX_HELD / deep.len();
        for _ in 0..fit {
            files.truncate(&deep, "user").unwrap();
        }
        assert_eq!(watcher.take().map(|events| events.len()), Ok(fit));
        for _ in 0..=fit {
            files.truncate(&deep, "user").unwrap();
        }
        assert_eq!(watcher.take(), Err(Overflow), "long names are fewer");
        drop(watcher);
        let some: Vec<_> = (0..MAX_WATCHERS).map(|_| watch(&files, "/tmp", false)).collect();
        let one_more = || files.watch(Watched { directory: "/tmp".into(), ..Watched::default() });
        assert!(matches!(one_more(), Err(TooManyWatchers)));
        drop(some);
        assert!(one_more().is_ok(), "those that are dropped do not count");
    }

    #[test]
    fn an_event_tells_of_its_file_if_that_is_asked_for() {
        let files = Files::default();
        let watched =
            Watched { directory: "/tmp".into(), with_entries: true, ..Watched::default() };
        let watcher = files.watch(watched).unwrap();
        files.append("/tmp/a", b"xyz", "user").unwrap();
        files.remove("/tmp/a").unwrap();
        let events = watcher.take().unwrap();
        assert_eq!(events[1].entry.as_ref().unwrap().size, 3);
        assert_eq!(events[2].entry, None);
    }
}
