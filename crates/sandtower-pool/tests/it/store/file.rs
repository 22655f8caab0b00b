use proptest::prelude::*;
use rusqlite::Connection;
use sandtower_e2b::Config as E2bConfig;
use sandtower_pool::{Life, MemoryStock, PoolLayer, SqliteStock, Step, Stock, Wall};

use super::{Folder, KEY, LIFE, call, e2b, sandbox};
use crate::world::three;

fn open(folder: &Folder, owner: &str) -> SqliteStock {
    SqliteStock::open(folder.file(), &e2b(owner)).unwrap()
}

fn loaded(stock: &impl Stock) -> Vec<Step> {
    let mut steps = stock.load().unwrap().unwrap_or_default();
    steps.sort_by_key(|step| format!("{step:?}"));
    steps
}

#[test]
fn pools_of_other_owners_and_keys_share_a_file_and_a_second_one_waits() {
    let folder = Folder::new("shared");
    let (a, b) = (open(&folder, "a"), open(&folder, "b"));
    let other_key = SqliteStock::open(
        folder.file(),
        &E2bConfig::new("e2b_1").unwrap().owner("a".parse().unwrap()),
    );
    let other_key = other_key.unwrap();
    for (number, stock) in [(1, &a), (2, &b), (3, &other_key)] {
        assert_eq!(stock.load().unwrap(), None, "nothing was recorded before");
        stock.record(&[Step::Idle { id: sandbox(number), life: LIFE }]).unwrap();
        assert_eq!(loaded(stock), [Step::Idle { id: sandbox(number), life: LIFE }]);
    }
    let second = open(&folder, "a");
    let error = second.load().unwrap_err().to_string();
    assert!(error.contains("another pool with this owner and API key uses it"), "{error}");
    a.close();
    assert!(a.record(&[Step::Ended { id: sandbox(1) }]).is_err(), "another pool may have it");
    assert_eq!(loaded(&second), [Step::Idle { id: sandbox(1), life: LIFE }]);
    // The files name no key.
    for file in std::fs::read_dir(&folder.0).unwrap() {
        let file = file.unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let name = file.file_name().into_encoded_bytes();
        for text in [bytes, name] {
            assert!(!text.windows(KEY.len()).any(|part| part == KEY.as_bytes()));
        }
    }
}

#[test]
fn what_is_no_record_of_a_pool_is_left_as_it_is_with_a_clear_error() {
    let folder = Folder::new("broken");
    let refused = |expected: &str| {
        let before = std::fs::read(folder.file()).ok();
        let config = three().store(folder.file());
        let error = PoolLayer::builder(config, &e2b("a")).build().unwrap_err().to_string();
        assert!(error.starts_with("`store`: ") && error.contains(expected), "{error}");
        assert_eq!(std::fs::read(folder.file()).ok(), before);
    };
    std::fs::write(folder.file(), "not a database, but more than a hundred bytes".repeat(9))
        .unwrap();
    refused("it is no record of a pool: name another file");
    std::fs::remove_file(folder.file()).unwrap();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    drop(other);
    refused("it is no record of a pool: name another file");
    std::fs::remove_file(folder.file()).unwrap();
    drop(open(&folder, "a"));
    let newer = Connection::open(folder.file()).unwrap();
    newer.pragma_update(None, "user_version", 2).unwrap();
    newer.pragma_update(None, "journal_mode", "delete").unwrap();
    drop(newer);
    refused("it was written by a newer version, with format 2; this one knows up to 1");
    std::fs::remove_dir_all(&folder.0).unwrap();
    refused("its folder must exist");
}

#[test]
fn a_file_that_is_damaged_while_it_is_used_fails_and_is_tried_again() {
    let folder = Folder::new("damaged");
    let stock = open(&folder, "a");
    stock.load().unwrap();
    stock.record(&[Step::Idle { id: sandbox(1), life: LIFE }]).unwrap();
    // Moved away, it is created anew with all that is known.
    std::fs::rename(folder.file(), folder.0.join("old")).unwrap();
    for end in ["-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{end}", folder.file().display())));
    }
    stock.record(&[Step::Ordered { call: call(1), until: Wall(5) }]).unwrap();
    let expected = [
        Step::Idle { id: sandbox(1), life: LIFE },
        Step::Ordered { call: call(1), until: Wall(5) },
    ];
    assert_eq!(loaded(&stock), expected);
    // Another process keeps it locked.
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = stock.record(&[Step::Completed { call: call(1) }]).unwrap_err().to_string();
    assert!(error.contains("another process keeps it locked; it is tried again"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    stock.record(&[Step::Completed { call: call(1) }]).unwrap();
    assert_eq!(loaded(&stock), expected[..1]);
}

fn step() -> impl Strategy<Value = Step> {
    let life = (0..9_i64, 0..9_i64)
        .prop_map(|(created, ends_by)| Life { created: Wall(created), ends_by: Wall(ends_by) });
    (0..7, 0..4_u64, life, any::<u64>()).prop_map(|(kind, number, life, owner)| {
        let (id, call, until) = (sandbox(number), call(number), Wall(7));
        match kind {
            0 => Step::Ordered { call, until: life.ends_by },
            1 => Step::Completed { call },
            2 => Step::Idle { id, life },
            3 => Step::Leased { id, life, owner, until },
            4 => Step::Taken { id },
            5 => Step::Ending { id, life },
            _ => Step::Ended { id },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_file_keeps_what_memory_keeps(
        batches in prop::collection::vec(prop::collection::vec(step(), 0..6), 0..12),
    ) {
        let folder = Folder::new("model");
        let (file, memory) = (open(&folder, "a"), MemoryStock::new());
        prop_assert_eq!(file.load().unwrap(), None);
        for batch in batches {
            file.record(&batch).unwrap();
            memory.record(&batch).unwrap();
        }
        drop(file);
        prop_assert_eq!(loaded(&open(&folder, "a")), loaded(&memory));
    }
}
