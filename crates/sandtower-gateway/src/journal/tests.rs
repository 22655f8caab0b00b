use std::path::PathBuf;

use super::*;

/// A file that is gone with this.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let file = format!("sandtower-journal-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(file))
    }

    fn open(&self) -> (Arc<Journal>, Vec<Left>) {
        let (journal, left) = Journal::open(&self.0).unwrap();
        (Arc::new(journal), left)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for end in ["", "-wal", "-journal"] {
            drop(std::fs::remove_file(format!("{}{end}", self.0.display())));
        }
    }
}

fn call(number: u8) -> CallId {
    format!("{number:032x}").parse().unwrap()
}

fn sandbox(name: &str) -> SandboxId {
    name.parse().unwrap()
}

fn tenant() -> TenantId {
    TenantId::of(b"e2b_1")
}

#[tokio::test]
async fn a_row_says_what_may_be_killed_after_a_crash() {
    let file = File::new("rows");
    let (journal, left) = file.open();
    assert_eq!(left, []);
    let begun = journal.begin(call(1), tenant()).await.unwrap();
    let mut offered = journal.begin(call(2), tenant()).await.unwrap();
    assert!(offered.offer(Some(sandbox("i2"))).await);
    let mut taken = journal.begin(call(3), tenant()).await.unwrap();
    taken.has_left_nothing_else();
    assert!(taken.offer(Some(sandbox("i3"))).await);
    taken.taken();
    let mut retried = journal.begin(call(4), tenant()).await.unwrap();
    assert!(retried.offer(Some(sandbox("i4"))).await);
    retried.taken();
    let mut withdrawn = journal.begin(call(5), tenant()).await.unwrap();
    withdrawn.has_left_nothing_else();
    assert!(withdrawn.offer(Some(sandbox("i5"))).await);
    drop(withdrawn);
    let mut unreadable = journal.begin(call(6), tenant()).await.unwrap();
    assert!(unreadable.offer(None).await);
    let left = after_a_crash(&file, &journal).await;
    let row = |number, offered: Option<&str>| Left {
        call: call(number),
        tenant: tenant(),
        offered: offered.map(sandbox),
    };
    let expected =
        [row(1, None), row(2, Some("i2")), row(4, Some("i4")), row(5, None), row(9, None)];
    assert_eq!(left, expected);
    drop((begun, offered, unreadable));
}

/// What a process would find that started now, had this one ended without a word.
async fn after_a_crash(file: &File, journal: &Arc<Journal>) -> Vec<Left> {
    // Once this is written, so are all changes before it.
    let last = journal.begin(call(9), tenant()).await.unwrap();
    let copy = File::new("copy");
    for end in ["", "-wal"] {
        let [from, to] = [file, &copy].map(|file| format!("{}{end}", file.0.display()));
        std::fs::copy(from, to).unwrap();
    }
    drop(last);
    copy.open().1
}

#[tokio::test]
async fn what_was_left_stays_until_it_is_forgotten() {
    let file = File::new("left");
    let (journal, _) = file.open();
    drop(journal.begin(call(1), tenant()).await);
    drop(journal);
    let (journal, left) = file.open();
    assert_eq!(left.len(), 1, "{left:?}");
    drop(journal);
    let (journal, left) = file.open();
    journal.forget(left.iter().map(|left| left.call));
    drop(journal);
    assert_eq!(file.open().1, []);
}

#[test]
fn a_file_that_is_no_journal_is_rejected_and_stays_as_it_was() {
    let file = File::new("other");
    for content in
        ["not a database, but a text that is long enough to be none".repeat(20), String::new()]
    {
        std::fs::write(&file.0, &content).unwrap();
        let error = Journal::open(&file.0).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(error.is_err(), !content.is_empty(), "{error:?}");
        if let Err(error) = error {
            assert!(
                error.starts_with("journal: ") && error.contains("name another file"),
                "{error}"
            );
            assert_eq!(std::fs::read_to_string(&file.0).unwrap(), content);
        }
    }
    let theirs = File::new("theirs");
    let database = rusqlite::Connection::open(&theirs.0).unwrap();
    database.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(database);
    let error = Journal::open(&theirs.0).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("another application"), "{error}");
}
