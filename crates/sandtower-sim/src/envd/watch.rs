//! `filesystem.Filesystem`: watching directories, as a stream or by asking again and again.

use std::sync::Arc;

use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{select, time};

use super::connect::{self, Code, Error};
use super::rpc::{self, Times};
use super::{envelope, filesystem, start, stream};
use crate::{
    body::{Body, Sender},
    dice::{Subject, dice, letters, number_of},
    files::{Change, Event, FileError, Files, Kind, Overflow, TooManyWatchers, Watched, Watcher},
    request::Received,
    state::Shared,
};

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
pub(super) fn watch_dir(
    sim: &Arc<Shared>,
    id: &str,
    files: &Files,
    request: &Received,
) -> Response<Body> {
    let open = || {
        let times = Times::of(&request.parts.headers)?;
        let watcher = open(files, rpc::first(request)?, request)?;
        let state = sim.state();
        let sandbox = state.sandboxes.get(id).ok_or_else(|| start::no_more(id))?;
        Ok((watcher, times, sandbox.life.subscribe()))
    };
    let (watcher, times, life) = match open() {
        Ok(open) => open,
        Err::<_, Error>(error) => return error.in_stream(),
    };
    let shared = Arc::clone(sim);
    let body = stream::body(Arc::clone(sim), life, |to| async move {
        let error = select! {
            biased;
            () = times.over() => rpc::deadline_exceeded(),
            Overflow = forward(&shared, &watcher, times, &to) => overflowed(),
        };
        envelope::last(Some(&error))
    });
    connect::stream(body)
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
pub(super) fn unary(
    sim: &Shared,
    id: &str,
    files: &Files,
    method: &str,
    request: &Received,
) -> Response<Body> {
    let outcome = match method {
        "CreateWatcher" => create(sim, id, files, request),
        "GetWatcherEvents" => events(sim, files, request),
        _ => remove(files, request),
    };
    rpc::respond(request, outcome)
}

fn create(sim: &Shared, id: &str, files: &Files, request: &Received) -> Result<Value, Error> {
    let watcher = open(files, rpc::message(request)?, request)?;
    let name = |number| {
        let number = number_of(id).wrapping_add(number);
        let mut dice = dice(sim.config.seed, Subject::Watcher, number);
        format!("w{}", letters(&mut dice, 20))
    };
    Ok(json!({ "watcherId": files.keep(watcher, name) }))
}

fn events(sim: &Shared, files: &Files, request: &Received) -> Result<Value, Error> {
    let WatcherRequest { watcher_id } = rpc::message(request)?;
    let watcher = files.watcher(&watcher_id).ok_or_else(|| not_found(&watcher_id))?;
    let events = watcher.take().map_err(|Overflow| overflowed())?;
    let events: Vec<_> = events.into_iter().map(|event| told(sim, event)).collect();
    Ok(if events.is_empty() { json!({}) } else { json!({ "events": events }) })
}

fn remove(files: &Files, request: &Received) -> Result<Value, Error> {
    let WatcherRequest { watcher_id } = rpc::message(request)?;
    if files.forget_watcher(&watcher_id) { Ok(json!({})) } else { Err(not_found(&watcher_id)) }
}

fn open(files: &Files, asked: WatchRequest, request: &Received) -> Result<Arc<Watcher>, Error> {
    let user = rpc::user(&request.parts.headers)?;
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

fn not_found(watcher_id: &str) -> Error {
    Error::new(Code::NOT_FOUND, format!("watcher with id {watcher_id} not found"))
}

fn overflowed() -> Error {
    Error::new(Code::INTERNAL, "watcher error: fsnotify: queue or buffer overflow")
}
