//! Databases that cannot be used: each is reported by one event, and the tracker works.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rusqlite::Connection;

use super::*;
use crate::told::told;

/// What is logged of a database that cannot be used, as `kind` and message, while 5 attempts are sent
/// and 5 exchanges tried; then it is `cured`, and all is in the store.
fn told_of(path: &Path, cured: impl FnOnce()) -> Vec<[String; 3]> {
    told(["level", "kind", "message"], || {
        let limit = stored(path);
        for _ in 0..5 {
            send(&limit, 1);
            limit.sync();
        }
        assert_eq!(count(&limit), 5);
        cured();
        limit.sync();
        limit.close().unwrap();
        assert_eq!(found(path), 5);
    })
}

fn rows_of(kind: &str) -> [[String; 3]; 2] {
    let unavailable = "rate limit store unavailable, counting in memory";
    [["WARN", kind, unavailable], ["INFO", "", "rate limit store recovered"]]
        .map(|row| row.map(str::to_owned))
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is_and_logged_once() {
    let sqlite_of_another = {
        let folder = Folder::new("another");
        let connection = Connection::open(folder.file()).unwrap();
        connection.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
        drop(connection);
        fs::read(folder.file()).unwrap()
    };
    let long = vec![b'x'; 100_000];
    let old = b"sndtwr\0\x01 a log of an earlier version".to_vec();
    for (name, bytes, kind) in [
        ("text", b"something else altogether".to_vec(), "not_a_database"),
        ("long", long, "not_a_database"),
        ("another's", sqlite_of_another, "not_a_database"),
        ("old", old, "old_format"),
    ] {
        let folder = Folder::new(&format!("none-{name}"));
        fs::write(folder.file(), &bytes).unwrap();
        let told = told_of(&folder.file(), || {
            assert_eq!(fs::read(folder.file()).unwrap(), bytes, "{name} was changed");
            fs::remove_file(folder.file()).unwrap();
        });
        assert_eq!(told, rows_of(kind), "{name}");
    }
}

#[test]
fn an_empty_file_becomes_a_database() {
    let folder = Folder::new("empty");
    fs::write(folder.file(), b"").unwrap();
    assert_eq!(told_of(&folder.file(), || ()), Vec::<[String; 3]>::new());
}

#[test]
fn a_foreign_file_of_two_gibibytes_is_not_read_into_memory() {
    let folder = Folder::new("huge");
    fs::File::create(folder.file()).unwrap().set_len(2 << 30).unwrap();
    let told = told_of(&folder.file(), || fs::remove_file(folder.file()).unwrap());
    assert_eq!(told, rows_of("not_a_database"));
}

#[test]
fn a_damaged_database_is_logged_once() {
    let folder = Folder::new("damaged");
    let limit = stored(&folder.file());
    send(&limit, 500);
    drop(limit);
    let whole = fs::read(folder.file()).unwrap();
    let mut damaged = whole.clone();
    damaged[100..].iter_mut().for_each(|byte| *byte ^= 0xa5);
    fs::write(folder.file(), damaged).unwrap();
    let told = told_of(&folder.file(), || {
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(folder.0.join(format!("rate-limit.db{end}")));
        }
    });
    assert_eq!(told, rows_of("corrupt"));
}

#[test]
fn a_database_cut_off_anywhere_stops_no_start() {
    let folder = Folder::new("cut");
    let limit = stored(&folder.file());
    send(&limit, 5);
    drop(limit);
    let whole = fs::read(folder.file()).unwrap();
    for length in (0..whole.len()).step_by(511) {
        fs::write(folder.file(), &whole[..length]).unwrap();
        let limit = stored(&folder.file());
        send(&limit, 1);
        assert!([1, 6].contains(&count(&limit)), "cut at {length}");
        drop(limit);
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(folder.0.join(format!("rate-limit.db{end}")));
        }
    }
}

#[test]
fn a_database_that_another_process_locks_is_logged_once() {
    let folder = Folder::new("locked");
    drop(stored(&folder.file()));
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = told_of(&folder.file(), || other.execute_batch("COMMIT").unwrap());
    assert_eq!(told, rows_of("busy"));
}

#[test]
fn a_folder_that_is_missing_is_logged_once() {
    let folder = Folder::new("missing");
    let path = folder.0.join("not there yet").join("rate-limit.db");
    let told = told_of(&path, || fs::create_dir(path.parent().unwrap()).unwrap());
    assert_eq!(told, rows_of("unavailable"));
}

#[test]
fn a_file_keeps_its_permissions_and_a_symlink_is_followed() {
    let folder = Folder::new("kept-files");
    let (target, link) = (folder.0.join("target.db"), folder.file());
    fs::write(&target, b"").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&target, &link).unwrap();
    let inode = fs::metadata(&target).unwrap().ino();
    for _ in 0..3 {
        let limit = stored(&link);
        send(&limit, 5);
        limit.sync();
        limit.cleanup();
        for end in ["", "-wal", "-shm"] {
            let mode = fs::metadata(folder.0.join(format!("target.db{end}"))).unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{end}");
        }
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&target).unwrap().ino(), inode);
    assert_eq!(found(&link), 15);
}

#[test]
fn an_error_says_what_would_be_right() {
    let folder = Folder::new("says");
    fs::write(folder.file(), "something else altogether").unwrap();
    let error = SqliteStore::new(folder.file(), HOUR).exchange(&[], NOW).unwrap_err();
    let said = "the file is no database of a rate limit: name another one, or move it away";
    assert_eq!((error.label(), error.to_string()), ("not_a_database", said.to_owned()));
    let limit = stored(&folder.file());
    send(&limit, 1);
    assert_eq!(limit.close().unwrap_err().label(), "not_a_database");
}
