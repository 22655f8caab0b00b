//! `filesystem.Filesystem`: watching directories, as a stream or by asking again and again.

use serde_json::json;
use tokio::time;

use super::connect::{Code, Error};
use super::rpc::Times;
use super::*;
use crate::dice::{Subject, dice, letters, number_of};
use crate::files::{Change, Event, Overflow, TooManyWatchers, Watched, Watcher};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WatchRequest {
    path: String,
    recursive: bool,
    #[serde(alias = "include_entry")]
    include_entry: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WatcherRequest {
    #[serde(alias = "watcher_id")]
    watcher_id: String,
}

/// What happened, as it is sent.
fn told(sim: &Shared, Event { change, name, entry }: Event) -> Value {
    let kind = match change {
        Change::Create => "EVENT_TYPE_CREATE",
        Change::Write => "EVENT_TYPE_WRITE",
        Change::Remove => "EVENT_TYPE_REMOVE",
        Change::Rename => "EVENT_TYPE_RENAME",
        Change::Chmod => "EVENT_TYPE_CHMOD",
    };
    let mut told = json!({ "name": name, "type": kind });
    if let Some(entry) = entry {
        told["entry"] = filesystem::info(sim, &entry);
    }
    told
}

/// `Filesystem/WatchDir`: what happens in a directory, as it happens.
pub(super) fn watch_dir(call: Call<'_>) -> Result<Body, Error> {
    let watcher = open(call, rpc::first(call.request)?)?;
    let life = call.sandbox(|sandbox| sandbox.life.subscribe())?;
    let (shared, times) = (Arc::clone(call.sim), call.times);
    Ok(stream::body(Arc::clone(call.sim), life, move |to| async move {
        let error = select! {
            biased;
            () = times.over() => rpc::deadline_exceeded(),
            Overflow = forward(&shared, &watcher, times, &to) => overflowed(),
        };
        envelope::last(Some(&error))
    }))
}

async fn forward(sim: &Shared, watcher: &Watcher, times: Times, to: &Sender) -> Overflow {
    stream::send(to, envelope::message(&json!({ "start": {} }))).await;
    let mut keepalive = time::interval(times.keepalive);
    keepalive.reset();
    loop {
        let message = select! {
            biased;
            event = watcher.next() => match event {
                Ok(event) => {
                    keepalive.reset();
                    json!({ "filesystem": told(sim, event) })
                }
                Err(overflow) => return overflow,
            },
            _ = keepalive.tick() => json!({ "keepalive": {} }),
        };
        stream::send(to, envelope::message(&message)).await;
    }
}

/// `CreateWatcher`, `GetWatcherEvents` and `RemoveWatcher`; `method` is which of them.
pub(super) fn unary(call: Call<'_>, method: &str) -> Result<Value, Error> {
    if method == "CreateWatcher" {
        let watcher = open(call, rpc::message(call.request)?)?;
        let name = |number| {
            let number = number_of(call.id).wrapping_add(number);
            let mut dice = dice(call.sim.config.seed, Subject::Watcher, number);
            format!("w{}", letters(&mut dice, 20))
        };
        return Ok(json!({ "watcherId": call.files.watchers().keep(watcher, name) }));
    }
    let WatcherRequest { watcher_id: id } = rpc::message(call.request)?;
    let missing = || Error::new(Code::NOT_FOUND, format!("watcher with id {id} not found"));
    if method == "RemoveWatcher" {
        return call.files.watchers().remove(&id).then(|| json!({})).ok_or_else(missing);
    }
    let watcher = call.files.watchers().named(&id).ok_or_else(missing)?;
    let events = watcher.take().map_err(|Overflow| overflowed())?;
    Ok(rpc::list("events", events.into_iter().map(|event| told(call.sim, event)).collect()))
}

fn open(call: Call<'_>, asked: WatchRequest) -> Result<Arc<Watcher>, Error> {
    let (files, user) = (call.files, call.user()?);
    let path = rpc::resolve(&asked.path, &user);
    let entry = files.entry(&path).map_err(|error| {
        let code = match error {
            FileError::NotFound => Code::NOT_FOUND,
            FileError::Invalid | FileError::NameTooLong => Code::INVALID_ARGUMENT,
            _ => Code::INTERNAL,
        };
        let what = if code == Code::NOT_FOUND {
            format!("path {path} not found")
        } else {
            format!("error statting path {path}")
        };
        Error::new(code, format!("{what}: stat {path}: {error}"))
    })?;
    if entry.kind != Kind::Directory {
        // The end of it is a slip of the real one's.
        let message = format!("path {path} not a directory: %!w(<nil>)");
        return Err(Error::new(Code::INVALID_ARGUMENT, message));
    }
    let watched = Watched {
        directory: entry.path,
        recursive: asked.recursive,
        with_entries: asked.include_entry,
    };
    files.watch(watched).map_err(|TooManyWatchers| {
        Error::new(Code::INTERNAL, "error creating watcher: too many open files")
    })
}

fn overflowed() -> Error {
    Error::new(Code::INTERNAL, "watcher error: fsnotify: queue or buffer overflow")
}
