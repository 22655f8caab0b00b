use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::checksum::crc32;
use super::{Entry, Store, StoreError};
use crate::shadow::nanos;

/// What a log begins with; the last byte is the version of its format.
const MAGIC: &[u8; 8] = b"sndtwr\0\x01";

/// A record: its checksum, its kind and operation, and four numbers.
const RECORD: usize = 40;

/// So many more records than what they sum up to are left in the file before it is written anew.
const SLACK: usize = 4_096;

/// How many expired rows are removed at once ...
const BATCH: usize = 100;

/// ... and how often, in one run.
const BATCHES: usize = 5;

/// Rows of one operation are kept apart by so many parts of the time that they are kept.
const PARTS: u64 = 64;

/// A [`Store`] in one file, for one process: an append-only log of small records with checksums.
///
/// A record is in the file when an exchange returns. A process that is killed leaves at most one
/// that is torn, which the next start cuts off; records that are damaged are left out, and a file
/// that is none of its own is put aside, under its name with `.corrupt` added. None of that stops a
/// start, and each is told as a `WARN` event with the target `sandtower::rate_limit`. Another process
/// that has the file open is an error of the exchange, so that its counts stay its own.
///
/// The file is written anew, and replaced at once, when most of it is of no more use; a counter takes
/// 65 records at most. Expired rows are removed 100 at a time and 500 in a run.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    keep: u64,
    log: Mutex<Option<Log>>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// Records in the file, of use or not.
    records: usize,
    /// By time and operation, so that the oldest come first.
    sent: BTreeMap<(u64, u8), i64>,
    learned: BTreeMap<(u8, u64), Entry>,
    /// What the last process left, until it is asked for.
    found: bool,
}

impl FileStore {
    /// Keeps rows in the file at `path` for as long as `keep`. The file is opened, or made, when it
    /// is first used.
    pub fn new(path: impl Into<PathBuf>, keep: Duration) -> Self {
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { path: path.into(), keep, log: Mutex::new(None) }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, Option<Log>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on the log. After an error it is opened anew: what is in the file then is unknown.
    fn with<T>(&self, work: impl FnOnce(&mut Log) -> io::Result<T>) -> Result<T, StoreError> {
        let mut slot = self.lock();
        let mut log = match slot.take() {
            Some(log) => log,
            None => Log::open(&self.path, self.width())?,
        };
        let done = work(&mut log)?;
        *slot = Some(log);
        Ok(done)
    }

    fn width(&self) -> u64 {
        self.keep.div_ceil(PARTS)
    }
}

impl Store for FileStore {
    fn exchange(&self, ours: &[Entry], now: u64) -> Result<Vec<Entry>, StoreError> {
        let oldest = now.saturating_sub(self.keep);
        self.with(|log| {
            log.append(ours)?;
            // Only what was there before: it counts as that of others.
            let found = match std::mem::replace(&mut log.found, true) {
                true => Vec::new(),
                false => log.entries().filter(|entry| at(entry) >= oldest).collect(),
            };
            for entry in ours {
                log.apply(entry, self.width());
            }
            if log.records > 2 * (log.sent.len() + log.learned.len()) + SLACK {
                log.rewrite(&self.path)?;
            }
            Ok(found)
        })
    }

    fn cleanup(&self, now: u64) -> Result<u64, StoreError> {
        let oldest = now.saturating_sub(self.keep);
        let mut removed = 0;
        for _ in 0..BATCHES {
            // The lock is free between two batches: an exchange waits for one at most.
            let batch = self.with(|log| Ok(log.expire(oldest)))?;
            removed += batch as u64;
            if batch < BATCH {
                break;
            }
        }
        if removed > 0 {
            self.with(|log| {
                match log.records > 2 * (log.sent.len() + log.learned.len()) + BATCH {
                    true => log.rewrite(&self.path),
                    false => Ok(()),
                }
            })?;
        }
        Ok(removed)
    }
}

impl Log {
    fn open(path: &Path, width: u64) -> io::Result<Self> {
        let mut file = options().open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if !bytes.is_empty() && !bytes.starts_with(MAGIC) {
            // A file as short as a torn beginning of ours is not worth keeping.
            if !MAGIC.starts_with(&bytes) {
                let aside = aside(path);
                fs::rename(path, &aside)?;
                tracing::warn!(
                    target: "sandtower::rate_limit",
                    path = %path.display(), aside = %aside.display(),
                    "the store of the rate limit is none, or damaged: it was put aside"
                );
                file = options().open(path)?;
                file.try_lock().map_err(io::Error::from)?;
            }
            bytes.clear();
        }
        let mut log = Self {
            file,
            records: 0,
            sent: BTreeMap::new(),
            learned: BTreeMap::new(),
            found: false,
        };
        let Some(records) = bytes.get(MAGIC.len()..) else {
            log.file.set_len(0)?;
            log.file.write_all(MAGIC)?;
            return Ok(log);
        };
        let whole = records.chunks_exact(RECORD);
        let torn = whole.remainder().len();
        let mut damaged = 0;
        for record in whole {
            log.records += 1;
            match decode(record) {
                Some(entry) => log.apply(&entry, width),
                None => damaged += 1,
            }
        }
        if damaged > 0 || torn > 0 {
            tracing::warn!(
                target: "sandtower::rate_limit",
                path = %path.display(), damaged, torn,
                "records in the store of the rate limit are damaged or torn: they are left out"
            );
        }
        let end = (MAGIC.len() + log.records * RECORD) as u64;
        log.file.set_len(end)?;
        log.file.seek(SeekFrom::Start(end))?;
        if damaged > 0 {
            // Told of once, and not again at each start.
            log.rewrite(path)?;
        }
        Ok(log)
    }

    fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = entries.iter().flat_map(encode).collect();
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.records += entries.len();
        Ok(())
    }

    fn apply(&mut self, entry: &Entry, width: u64) {
        match *entry {
            Entry::Sent { operation, at, count } => {
                // To the end of its part: it is kept for longer rather than not for long enough.
                let at = at.div_ceil(width).saturating_mul(width);
                let row = self.sent.entry((at, operation)).or_default();
                *row = row.saturating_add(count);
            }
            Entry::Learned { operation, scope, .. } => {
                self.learned.insert((operation, scope), *entry);
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let sent =
            self.sent.iter().map(|(&(at, operation), &count)| Entry::Sent { operation, at, count });
        sent.chain(self.learned.values().copied())
    }

    /// Removes a batch of rows from before `oldest`.
    fn expire(&mut self, oldest: u64) -> usize {
        let expired = self.sent.range(..(oldest, 0)).map(|(key, _)| *key);
        let expired: Vec<_> = expired.take(BATCH).collect();
        for key in &expired {
            self.sent.remove(key);
        }
        let left = BATCH - expired.len();
        let forgotten = self.learned.iter().filter(|(_, entry)| at(entry) < oldest);
        let forgotten: Vec<_> = forgotten.map(|(key, _)| *key).take(left).collect();
        for key in &forgotten {
            self.learned.remove(key);
        }
        expired.len() + forgotten.len()
    }

    /// Writes what is of use into a new file, and puts it in the place of the old one at once.
    fn rewrite(&mut self, path: &Path) -> io::Result<()> {
        let fresh = with_suffix(path, ".new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&fresh)?;
        file.try_lock().map_err(io::Error::from)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.entries().flat_map(|entry| encode(&entry)));
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&fresh, path)?;
        self.records = self.sent.len() + self.learned.len();
        self.file = file;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    options
}

fn aside(path: &Path) -> PathBuf {
    with_suffix(path, ".corrupt")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn at(entry: &Entry) -> u64 {
    match *entry {
        Entry::Sent { at, .. } | Entry::Learned { at, .. } => at,
    }
}

fn encode(entry: &Entry) -> [u8; RECORD] {
    let (kind, operation, numbers) = match *entry {
        Entry::Sent { operation, at, count } => (1, operation, [at, count as u64, 0, 0]),
        Entry::Learned { operation, scope, at, interval_low, interval_high } => {
            (2, operation, [at, scope, nanos(interval_low), nanos(interval_high)])
        }
    };
    let mut record = [0; RECORD];
    (record[4], record[5]) = (kind, operation);
    for (place, number) in record[8..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let checksum = crc32(&record[4..]);
    record[..4].copy_from_slice(&checksum.to_le_bytes());
    record
}

fn decode(record: &[u8]) -> Option<Entry> {
    let (checksum, rest) = record.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*checksum) != crc32(rest) {
        return None;
    }
    let number = |index: usize| {
        let bytes = rest.get(4 + 8 * index..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let (kind, operation) = (*rest.first()?, *rest.get(1)?);
    match kind {
        1 => Some(Entry::Sent { operation, at: number(0)?, count: number(1)? as i64 }),
        2 => Some(Entry::Learned {
            operation,
            scope: number(1)?,
            at: number(0)?,
            interval_low: Duration::from_nanos(number(2)?),
            interval_high: Duration::from_nanos(number(3)?),
        }),
        _ => None,
    }
}
