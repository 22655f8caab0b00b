use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use sandtower::core::Tick;
use sandtower::e2b::{CallId, SandboxId};

use super::Change;
use crate::keys::TenantId;

/// "sgwj": a database of another application is not touched.
const APPLICATION: i64 = 0x7367_776a;
const VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE creations (
        call TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        began INTEGER NOT NULL,
        sandbox TEXT
    ) WITHOUT ROWID;
";
/// The most rows: 100 failed creations a second for as long as such a row is kept. Beyond, creations are
/// not recorded.
const MOST: usize = 120_000;
/// E2B keeps no paused sandbox for longer; a row whose API key never comes again goes then.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What an earlier process left behind: a call whose end is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) call: CallId,
    pub(crate) tenant: TenantId,
    /// The sandbox that its caller may own.
    pub(crate) offered: Option<SandboxId>,
}

/// The rows, which no other process can change meanwhile.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    rows: HashSet<CallId>,
    /// Rows that end later, in their order.
    ending: VecDeque<(Tick, CallId)>,
}

/// All rows that may be are there.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("it has {MOST} rows of creations whose end is not known")]
    Full,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let mut connection = Connection::open(path).map_err(explained)?;
        prepare(&mut connection).map_err(explained)?.then_some(()).ok_or(
            "it is a database of another application or of a later version: name another file",
        )?;
        Ok(Self { connection, rows: HashSet::new(), ending: VecDeque::new() })
    }

    /// What is in it, as after a crash.
    pub(super) fn left(&mut self) -> rusqlite::Result<Vec<Left>> {
        let oldest = unix_time().saturating_sub_unsigned(LONGEST.as_secs());
        self.connection.execute("DELETE FROM creations WHERE began < ?1", [oldest])?;
        let mut rows = self.connection.prepare("SELECT call, tenant, sandbox FROM creations")?;
        let rows = rows.query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, Option<String>>(2)?,
            ))
        })?;
        let mut all = Vec::new();
        for row in rows {
            let (call, tenant, sandbox) = row?;
            let (Ok(call), Some(tenant)) = (call.parse(), TenantId::parse(&tenant)) else {
                continue;
            };
            let Ok(offered) = sandbox.map(|sandbox| sandbox.parse()).transpose() else { continue };
            self.rows.insert(call);
            all.push(Left { call, tenant, offered });
        }
        Ok(all)
    }

    /// Writes all changes or none. What is offered is on the disk when this returns.
    pub(super) fn write(&mut self, changes: &[Change], now: Tick) -> Result<(), WriteError> {
        let begins = changes.iter().filter(|change| matches!(change, Change::Begin(..))).count();
        if begins > 0 && self.rows.len() + begins > MOST {
            return Err(WriteError::Full);
        }
        // Else a process that is killed loses nothing either, but a machine without power may.
        let is_synced = changes.iter().any(|change| matches!(change, Change::Offer(..)));
        let level = if is_synced { "full" } else { "normal" };
        self.connection.pragma_update(None, "synchronous", level)?;
        let due = self.ending.iter().take_while(|(at, _)| *at <= now).count();
        let transaction = self.connection.transaction()?;
        for (_, call) in self.ending.iter().take(due) {
            delete(&transaction, call)?;
        }
        for change in changes {
            apply(&transaction, change)?;
        }
        transaction.commit()?;
        for (_, call) in self.ending.drain(..due) {
            self.rows.remove(&call);
        }
        for change in changes {
            match change {
                Change::Begin(call, _) => drop(self.rows.insert(*call)),
                Change::End(call, Duration::ZERO) => drop(self.rows.remove(call)),
                Change::End(call, after) if self.rows.contains(call) => {
                    self.ending.push_back((now + *after, *call));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn apply(to: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Begin(call, tenant) => {
            let sql = "INSERT OR REPLACE INTO creations (call, tenant, began) VALUES (?1, ?2, ?3)";
            let row = params![call.to_string(), tenant.to_string(), unix_time()];
            to.execute(sql, row)?;
        }
        Change::Offer(call, sandbox) => {
            let sql = "UPDATE creations SET sandbox = ?2 WHERE call = ?1";
            to.execute(sql, [&call.to_string(), sandbox.as_str()])?;
        }
        Change::Withdraw(call) => {
            let sql = "UPDATE creations SET sandbox = NULL WHERE call = ?1";
            to.execute(sql, [call.to_string()])?;
        }
        Change::End(call, after) if after.is_zero() => delete(to, call)?,
        Change::End(..) => {}
    }
    Ok(())
}

fn delete(from: &Transaction<'_>, call: &CallId) -> rusqlite::Result<()> {
    from.execute("DELETE FROM creations WHERE call = ?1", [call.to_string()])?;
    Ok(())
}

/// Prepares the database for this process alone. `false`: it is not one of these.
fn prepare(connection: &mut Connection) -> rusqlite::Result<bool> {
    let number = |of: &Connection, sql| of.query_row(sql, [], |row| row.get::<_, i64>(0));
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    let application = number(connection, "PRAGMA application_id")?;
    let tables = number(connection, "SELECT count(*) FROM sqlite_schema")?;
    if application != APPLICATION && (application != 0 || tables > 0) {
        return Ok(false);
    }
    connection.pragma_update(None, "journal_mode", "wal")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let version = number(&transaction, "PRAGMA user_version")?;
    if version == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    Ok(version <= VERSION)
}

fn explained(error: rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            String::from("another gateway uses it: each needs a file of its own")
        }
        Some(ErrorCode::NotADatabase) => String::from("it is not a journal: name another file"),
        Some(ErrorCode::DatabaseCorrupt) => String::from(
            "it is damaged: move it away, and creations of the last crash are not swept",
        ),
        _ => error.to_string(),
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "rows outlive the process and its clock")]
fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
