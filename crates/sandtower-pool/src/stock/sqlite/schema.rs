//! The format of the database, and how one of an older version becomes one of this.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::Problem;

/// Written into the header of the database: "sgpl". One of another application is not touched.
const APPLICATION: i64 = 0x7367_706c;

/// What makes a database of each version from the one before; the first from an empty one. What is here
/// stays as it is: databases of that version are out there.
pub(super) const MIGRATIONS: &[&str] = &[
    // Times are seconds since 1970. `scope` is the owner and a hash of the API key.
    "CREATE TABLE pools (scope TEXT PRIMARY KEY, seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE creations (
        scope TEXT NOT NULL, call TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (scope, call)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sandboxes (
        scope TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL,
        ends_by INTEGER NOT NULL, owner INTEGER, until INTEGER, PRIMARY KEY (scope, id)
    ) STRICT, WITHOUT ROWID;",
];

/// Brings the database to the newest of `migrations`, all or nothing. One of another application, or of a
/// newer version, is not touched.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), Problem> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    check(connection, known)?;
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        connection.pragma_update(None, "journal_mode", "wal")?;
    }
    // What is committed survives a process that is killed, without waiting for the disk.
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
    for migration in migrations.iter().skip(usize::try_from(version).unwrap_or(0)) {
        to.execute_batch(migration)?;
    }
    to.pragma_update(None, "application_id", APPLICATION)?;
    to.pragma_update(None, "user_version", migrations.len().cast_signed())?;
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
            for _ in 0..2 {
                migrate(&mut connection, &THREE).unwrap();
                let y = connection.query_row("SELECT y FROM a", [], |row| row.get::<_, i64>(0));
                assert_eq!(y.unwrap(), 3, "from version {version}");
            }
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
