//! Steps as rows.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::error::Problem;
use crate::stock::{Life, Step};
use crate::wall::Wall;

/// No sandbox of E2B lives for longer, paused ones included: what no pool has written for so long is of no use.
const LONGEST: i64 = 30 * 86_400;

const IDLE: &str = "idle";
const LEASED: &str = "leased";
const ENDING: &str = "ending";

/// The steps of this pool; `None`: it was not recorded before.
pub(super) fn load(from: &Transaction<'_>, scope: &str) -> Result<Option<Vec<Step>>, Problem> {
    let now = Wall::now().0;
    for table in ["creations", "sandboxes"] {
        let old = "SELECT scope FROM pools WHERE seen < ?";
        from.execute(&format!("DELETE FROM {table} WHERE scope IN ({old})"), [now - LONGEST])?;
    }
    from.execute("DELETE FROM pools WHERE seen < ?", [now - LONGEST])?;
    let seen = from
        .query_row("SELECT seen FROM pools WHERE scope = ?", [scope], |row| row.get::<_, i64>(0))
        .optional()?;
    from.execute("INSERT OR REPLACE INTO pools VALUES (?, ?)", params![scope, now])?;
    if seen.is_none() {
        return Ok(None);
    }
    let mut creations = from.prepare("SELECT call, until FROM creations WHERE scope = ?")?;
    let creations = creations.query_map([scope], creation)?.collect::<Result<Vec<_>, _>>()?;
    let sql = "SELECT id, state, created, ends_by, owner, until FROM sandboxes WHERE scope = ?";
    let mut sandboxes = from.prepare(sql)?;
    let sandboxes = sandboxes.query_map([scope], sandbox)?.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(creations.into_iter().chain(sandboxes).flatten().collect()))
}

/// `None`: this program has not written it.
fn creation(row: &Row<'_>) -> rusqlite::Result<Option<Step>> {
    let (call, until): (String, i64) = (row.get(0)?, row.get(1)?);
    Ok(call.parse().ok().map(|call| Step::Ordered { call, until: Wall(until) }))
}

fn sandbox(row: &Row<'_>) -> rusqlite::Result<Option<Step>> {
    let (id, state): (String, String) = (row.get(0)?, row.get(1)?);
    let life = Life { created: Wall(row.get(2)?), ends_by: Wall(row.get(3)?) };
    let (owner, until): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
    let Ok(id) = id.parse() else { return Ok(None) };
    Ok(Some(match (state.as_str(), owner, until) {
        (IDLE, ..) => Step::Idle { id, life },
        (LEASED, Some(owner), Some(until)) => {
            Step::Leased { id, life, owner: owner.cast_unsigned(), until: Wall(until) }
        }
        // In a state that this version does not know, no caller has it either.
        _ => Step::Ending { id, life },
    }))
}

pub(super) fn write(to: &Transaction<'_>, scope: &str, steps: &[Step]) -> Result<(), Problem> {
    to.execute("INSERT OR REPLACE INTO pools VALUES (?, ?)", params![scope, Wall::now().0])?;
    steps.iter().try_for_each(|step| write_one(to, scope, step))
}

/// Replaces all rows of this pool.
pub(super) fn replace<'a>(
    to: &Transaction<'_>,
    scope: &str,
    mut steps: impl Iterator<Item = &'a Step>,
) -> Result<(), Problem> {
    to.execute("DELETE FROM creations WHERE scope = ?", [scope])?;
    to.execute("DELETE FROM sandboxes WHERE scope = ?", [scope])?;
    steps.try_for_each(|step| write_one(to, scope, step))
}

fn write_one(to: &Transaction<'_>, scope: &str, step: &Step) -> Result<(), Problem> {
    let kept = match step {
        Step::Ordered { call, until } => {
            let sql = "INSERT OR REPLACE INTO creations VALUES (?, ?, ?)";
            to.prepare(sql)?.execute(params![scope, call.to_string(), until.0])?;
            return Ok(());
        }
        Step::Completed { call } => {
            let sql = "DELETE FROM creations WHERE scope = ? AND call = ?";
            to.prepare(sql)?.execute(params![scope, call.to_string()])?;
            return Ok(());
        }
        Step::Taken { id } | Step::Ended { id } => {
            let sql = "DELETE FROM sandboxes WHERE scope = ? AND id = ?";
            to.prepare(sql)?.execute(params![scope, id.as_str()])?;
            return Ok(());
        }
        Step::Idle { id, life } => (id, IDLE, life, None),
        Step::Leased { id, life, owner, until } => {
            (id, LEASED, life, Some((owner.cast_signed(), until.0)))
        }
        Step::Ending { id, life } => (id, ENDING, life, None),
    };
    let (id, state, Life { created, ends_by }, lease) = kept;
    let (owner, until) = lease.unzip();
    to.prepare("INSERT OR REPLACE INTO sandboxes VALUES (?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![scope, id.as_str(), state, created.0, ends_by.0, owner, until])?;
    Ok(())
}
