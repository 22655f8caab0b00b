//! The format of the database, and how one of an older version becomes one of this.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::Problem;

/// Written into the header of the database: it is this program's, and no other application's.
const APPLICATION: i64 = 0x7364_6b79;

/// What makes a database of each version from the one before; the first from an empty one. What is here
/// stays as it is: databases of that version are out there.
pub(in crate::virtual_keys) const MIGRATIONS: &[&str] = &[
    // Times are milliseconds since 1970; ids and numbers that use all 64 bits are stored as signed ones.
    "CREATE TABLE keys (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL, old_hash BLOB, old_until INTEGER,
        created INTEGER NOT NULL, revoked INTEGER, priority TEXT NOT NULL, upstream TEXT NOT NULL,
        templates TEXT, concurrent INTEGER, per_minute INTEGER, per_day INTEGER, seconds INTEGER,
        declared INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE accounts (
        key INTEGER PRIMARY KEY, day INTEGER NOT NULL, creations INTEGER NOT NULL, ran INTEGER NOT NULL,
        charged INTEGER NOT NULL, recent BLOB NOT NULL
    ) STRICT;
    CREATE TABLE slots (
        id INTEGER PRIMARY KEY, key INTEGER NOT NULL, since INTEGER NOT NULL, sandbox TEXT, ends INTEGER
    ) STRICT;",
    // Sandboxes without the mark of their key.
    "CREATE TABLE unmarked (
        sandbox TEXT PRIMARY KEY, key INTEGER NOT NULL, since INTEGER NOT NULL, may_pause INTEGER NOT NULL
    ) STRICT;",
];

/// Brings the database to the newest of `migrations`, all or nothing. One of another application, or of a
/// newer version, is not touched.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), Problem> {
    let known = migrations.len() as i64;
    check(connection, known)?;
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        connection.pragma_update(None, "journal_mode", "wal")?;
    }
    // What is committed survives a process that is killed; a loss of power can undo the last moments.
    connection.pragma_update(None, "synchronous", "normal")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been first.
    let version = check(&transaction, known)?;
    if version < known {
        advance(&transaction, migrations, version)?;
    }
    transaction.commit()?;
    Ok(())
}

fn advance(to: &Transaction<'_>, migrations: &[&str], version: i64) -> Result<(), Problem> {
    let done = usize::try_from(version).unwrap_or(0);
    for migration in migrations.iter().skip(done) {
        to.execute_batch(migration)?;
    }
    to.pragma_update(None, "application_id", APPLICATION)?;
    to.pragma_update(None, "user_version", migrations.len() as i64)?;
    Ok(())
}

/// Returns the version of the database; 0: it is empty.
fn check(connection: &Connection, known: i64) -> Result<i64, Problem> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let (application, found) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match application {
        APPLICATION if found > known => Err(Problem::Newer { found, known }),
        APPLICATION if found >= 0 => Ok(found),
        0 if tables == 0 => Ok(0),
        _ => Err(Problem::NotADatabase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: [&str; 3] = [
        "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);",
        "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 2;",
        "UPDATE a SET y = y + x;",
    ];

    fn memory() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn a_database_of_each_older_version_becomes_one_of_the_newest() {
        for version in 0..=THREE.len() {
            let mut connection = memory();
            migrate(&mut connection, &THREE[..version]).unwrap();
            migrate(&mut connection, &THREE).unwrap();
            let y: i64 = connection.query_row("SELECT y FROM a", [], |row| row.get(0)).unwrap();
            assert_eq!(y, 3, "from version {version}");
            // Once is enough.
            migrate(&mut connection, &THREE).unwrap();
            let y: i64 = connection.query_row("SELECT y FROM a", [], |row| row.get(0)).unwrap();
            assert_eq!(y, 3);
        }
    }

    #[test]
    fn a_newer_one_and_that_of_another_application_are_left_alone() {
        let mut newer = memory();
        migrate(&mut newer, &THREE).unwrap();
        let error = migrate(&mut newer, &THREE[..2]).unwrap_err();
        assert!(matches!(error, Problem::Newer { found: 3, known: 2 }), "{error}");
        let mut other = memory();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(migrate(&mut other, &THREE), Err(Problem::NotADatabase)));
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let mut connection = memory();
        migrate(&mut connection, &THREE[..1]).unwrap();
        let broken = [THREE[0], THREE[1], "UPDATE nowhere SET y = 1;"];
        assert!(migrate(&mut connection, &broken).is_err());
        migrate(&mut connection, &THREE).unwrap();
    }
}
