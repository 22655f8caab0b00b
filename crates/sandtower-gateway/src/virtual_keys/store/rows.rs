//! Keys and accounts as rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, Row, Statement, Transaction, named_params, params};
use sandtower::core::Priority;
use sandtower::e2b::SandboxId;

use super::error::Problem;
use crate::virtual_keys::account::{Account, Call, Millis, Slot, SlotId};
use crate::virtual_keys::book::{Book, News};
use crate::virtual_keys::secret::Hash;
use crate::virtual_keys::unmarked::Owned;
use crate::virtual_keys::{Key, KeyId, Limits};

/// The changes to write, copied out of the book.
#[derive(Debug, Default)]
pub(super) struct Batch {
    keys: Vec<Arc<Key>>,
    accounts: Vec<(KeyId, Counts)>,
    slots: Vec<(SlotId, KeyId, Slot)>,
    gone_keys: Vec<KeyId>,
    gone_slots: Vec<SlotId>,
    unmarked: Vec<(SandboxId, Owned)>,
    gone_unmarked: Vec<SandboxId>,
    /// Whatever else is there goes.
    replaces: bool,
}

#[derive(Debug)]
struct Counts {
    day: u64,
    creations: u64,
    ran: Millis,
    charged: Millis,
    recent: Vec<u8>,
}

impl Batch {
    pub(super) fn of(book: &Book, news: &News) -> Self {
        let mut batch = Self::default();
        for id in &news.keys {
            match book.entries.get(id) {
                Some(entry) => batch.keys.push(Arc::clone(&entry.key)),
                None => batch.gone_keys.push(*id),
            }
        }
        for id in &news.accounts {
            if let Some(entry) = book.entries.get(id) {
                batch.accounts.push((*id, Counts::of(&entry.account)));
            }
        }
        for (slot, id) in &news.slots {
            match book.entries.get(id).and_then(|entry| entry.account.slots.get(slot)) {
                Some(taken) => batch.slots.push((*slot, *id, taken.clone())),
                None => batch.gone_slots.push(*slot),
            }
        }
        for sandbox in &news.unmarked {
            match book.unmarked.get(sandbox) {
                Some(owned) => batch.unmarked.push((sandbox.clone(), owned)),
                None => batch.gone_unmarked.push(sandbox.clone()),
            }
        }
        batch
    }

    /// Everything, in place of what is there.
    pub(super) fn all(book: &Book) -> Self {
        let slots = book
            .entries
            .iter()
            .flat_map(|(id, entry)| entry.account.slots.keys().map(|slot| (*slot, *id)));
        let ids = || book.entries.keys().copied().collect();
        let unmarked = book.unmarked.ids().cloned().collect();
        let all = News { keys: ids(), accounts: ids(), slots: slots.collect(), unmarked };
        Self { replaces: true, ..Self::of(book, &all) }
    }

    pub(super) fn write(&self, to: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.replaces {
            to.execute_batch(
                "DELETE FROM keys; DELETE FROM accounts; DELETE FROM slots; DELETE FROM unmarked;",
            )?;
        }
        self.write_keys(to)?;
        let mut put = to.prepare("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?)")?;
        for (id, counts) in &self.accounts {
            put.execute(params![
                signed(id.number()),
                signed(counts.day),
                signed(counts.creations),
                signed(counts.ran),
                signed(counts.charged),
                counts.recent,
            ])?;
        }
        let mut put = to.prepare("INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?)")?;
        for (slot, id, taken) in &self.slots {
            let (since, sandbox, ends) = match taken {
                Slot::Reserved { since, .. } => (*since, None, None),
                Slot::Running { sandbox, since, ends } => (*since, Some(sandbox.as_str()), *ends),
            };
            let (slot, id, ends) = (signed(*slot), signed(id.number()), ends.map(signed));
            put.execute(params![slot, id, signed(since), sandbox, ends])?;
        }
        let mut delete = to.prepare("DELETE FROM slots WHERE id = ?")?;
        for slot in &self.gone_slots {
            delete.execute([signed(*slot)])?;
        }
        self.write_unmarked(to)
    }

    fn write_unmarked(&self, to: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut put = to.prepare("INSERT OR REPLACE INTO unmarked VALUES (?, ?, ?, ?)")?;
        for (sandbox, owned) in &self.unmarked {
            let Owned { key, since, may_pause } = *owned;
            put.execute(params![sandbox.as_str(), signed(key.number()), signed(since), may_pause])?;
        }
        let mut delete = to.prepare("DELETE FROM unmarked WHERE sandbox = ?")?;
        for sandbox in &self.gone_unmarked {
            delete.execute([sandbox.as_str()])?;
        }
        Ok(())
    }

    fn write_keys(&self, to: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut put = to.prepare(PUT_KEY)?;
        for key in &self.keys {
            write_key(&mut put, key)?;
        }
        for id in &self.gone_keys {
            let id = signed(id.number());
            to.execute("DELETE FROM keys WHERE id = ?", [id])?;
            to.execute("DELETE FROM accounts WHERE key = ?", [id])?;
            to.execute("DELETE FROM slots WHERE key = ?", [id])?;
            to.execute("DELETE FROM unmarked WHERE key = ?", [id])?;
        }
        Ok(())
    }
}

const PUT_KEY: &str = "
    INSERT OR REPLACE INTO keys VALUES (:id, :name, :hash, :old_hash, :old_until, :created, :revoked,
    :priority, :upstream, :templates, :concurrent, :per_minute, :per_day, :seconds, :declared)";

fn write_key(put: &mut Statement<'_>, key: &Key) -> rusqlite::Result<()> {
    // Texts have a JSON.
    let templates = key.templates.as_ref().and_then(|all| serde_json::to_string(all).ok());
    put.execute(named_params! {
        ":id": signed(key.id.number()),
        ":name": &*key.name,
        ":hash": key.hash.0,
        ":old_hash": key.old.map(|(hash, _)| hash.0),
        ":old_until": key.old.map(|(_, until)| signed(until)),
        ":created": signed(key.created),
        ":revoked": key.revoked.map(signed),
        ":priority": key.priority.label(),
        ":upstream": &*key.upstream,
        ":templates": templates,
        ":concurrent": key.limits.concurrent_sandboxes.map(signed),
        ":per_minute": key.limits.creations_per_minute.map(signed),
        ":per_day": key.limits.creations_per_day.map(signed),
        ":seconds": key.limits.sandbox_seconds_per_day.map(signed),
        ":declared": key.declared,
    })?;
    Ok(())
}

/// Reads everything into `book`.
pub(super) fn read(from: &Connection, book: &mut Book) -> Result<(), Problem> {
    let mut accounts = read_accounts(from)?;
    let mut slots = read_slots(from)?;
    let mut query = from.prepare("SELECT * FROM keys")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let key = read_key(row)?;
        let mut account = accounts.remove(&key.id).unwrap_or_default();
        account.slots = slots.remove(&key.id).unwrap_or_default();
        book.restore(key, account);
    }
    read_unmarked(from, book)
}

fn read_unmarked(from: &Connection, book: &mut Book) -> Result<(), Problem> {
    let mut query = from.prepare("SELECT sandbox, key, since, may_pause FROM unmarked")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (sandbox, key): (String, i64) = (row.get(0)?, row.get(1)?);
        let (since, may_pause) = (unsigned(row.get(2)?), row.get(3)?);
        let sandbox = sandbox
            .parse()
            .map_err(|_| Problem::Row(format!("a sandbox of key {}", KeyId::new(unsigned(key)))))?;
        let key = KeyId::new(unsigned(key));
        if book.entries.contains_key(&key) {
            book.unmarked.restore(sandbox, Owned { key, since, may_pause });
        }
    }
    Ok(())
}

fn read_key(row: &Row<'_>) -> Result<Key, Problem> {
    let id = KeyId::new(unsigned(row.get("id")?));
    let broken = |what: &str| Problem::Row(format!("{what} of key {id}"));
    let hash = |name: &str| -> Result<Option<Hash>, Problem> {
        let bytes: Option<Vec<u8>> = row.get(name)?;
        let hash = bytes.map(|bytes| bytes.try_into().map(Hash));
        hash.transpose().map_err(|_| broken(name))
    };
    let number = |name: &str| -> Result<Option<u64>, Problem> {
        Ok(row.get::<_, Option<i64>>(name)?.map(unsigned))
    };
    let (priority, templates): (String, Option<String>) =
        (row.get("priority")?, row.get("templates")?);
    let templates = templates.map(|text| serde_json::from_str(&text)).transpose();
    let limits = Limits {
        concurrent_sandboxes: number("concurrent")?,
        creations_per_minute: number("per_minute")?,
        creations_per_day: number("per_day")?,
        sandbox_seconds_per_day: number("seconds")?,
    };
    limits.check().map_err(|_| broken("limits"))?;
    Ok(Key {
        id,
        name: row.get::<_, String>("name")?.into(),
        hash: hash("hash")?.ok_or_else(|| broken("hash"))?,
        old: hash("old_hash")?.zip(number("old_until")?),
        created: number("created")?.unwrap_or(0),
        revoked: number("revoked")?,
        priority: Priority::parse(&priority).ok_or_else(|| broken("priority"))?,
        upstream: row.get::<_, String>("upstream")?.into(),
        templates: templates.map_err(|_| broken("templates"))?,
        limits,
        declared: row.get("declared")?,
    })
}

fn read_accounts(from: &Connection) -> Result<HashMap<KeyId, Account>, Problem> {
    let mut query =
        from.prepare("SELECT key, day, creations, ran, charged, recent FROM accounts")?;
    let rows = query.query_map([], |row| {
        let number = |at: usize| row.get::<_, i64>(at).map(unsigned);
        let (times, _) = row.get_ref(5)?.as_blob()?.as_chunks::<8>();
        let account = Account {
            day: number(1)?,
            creations: number(2)?,
            ran: number(3)?,
            charged: number(4)?,
            recent: times.iter().map(|time| Millis::from_le_bytes(*time)).collect(),
            slots: BTreeMap::new(),
        };
        Ok((KeyId::new(number(0)?), account))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A call that was in flight when the process before ended may have started its sandbox.
fn read_slots(from: &Connection) -> Result<HashMap<KeyId, BTreeMap<SlotId, Slot>>, Problem> {
    let mut all: HashMap<KeyId, BTreeMap<SlotId, Slot>> = HashMap::new();
    let mut query = from.prepare("SELECT id, key, since, sandbox, ends FROM slots")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let number = |at: usize| row.get::<_, i64>(at).map(unsigned);
        let (slot, key, since) = (number(0)?, KeyId::new(number(1)?), number(2)?);
        let ends = row.get::<_, Option<i64>>(4)?.map(unsigned);
        let taken = match row.get::<_, Option<String>>(3)? {
            None => Slot::Reserved { since, creates: false, call: Call::Lost },
            Some(sandbox) => {
                let sandbox = sandbox
                    .parse()
                    .map_err(|_| Problem::Row(format!("the sandbox of place {slot}")))?;
                Slot::Running { sandbox, since, ends }
            }
        };
        all.entry(key).or_default().insert(slot, taken);
    }
    Ok(all)
}

impl Counts {
    fn of(account: &Account) -> Self {
        let recent = account.recent.iter().flat_map(|at| at.to_le_bytes()).collect();
        let Account { day, creations, ran, charged, .. } = *account;
        Self { day, creations, ran, charged, recent }
    }
}

const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

const fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}
