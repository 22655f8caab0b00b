//! `filesystem.Filesystem`: watching directories, as a stream or by asking again and again.

use std::sync::Arc;

use http::Response;
use serde::{Deserialize, Serialize};
use tokio::{select, time};

use super::connect::{self, Code, Error};
use super::filesystem::Info;
use super::rpc::{self, Empty, Times};
use super::{envelope, start, stream};
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

/// A message of the stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Message {
    Start {},
    Filesystem(Told),
    Keepalive {},
}

#[derive(Debug, Serialize)]
struct Told {
    name: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Info>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    watcher_id: String,
}

#[derive(Debug, Serialize)]
struct Events {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Told>,
}

impl Told {
    fn new(sim: &Shared, Event { change, name, entry }: Event) -> Self {
        let r#type = match change {
            Change::Create => "EVENT_TYPE_CREATE",
            Change::Write => "EVENT_TYPE_WRITE",
            Change::Remove => "EVENT_TYPE_REMOVE",
            Change::Rename => "EVENT_TYPE_RENAME",
            Change::Chmod => "EVENT_TYPE_CHMOD",
        };
        Self { name, r#type, entry: entry.map(|entry| Info::new(sim, entry)) }
    }
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
    let seal = |message: Message| envelope::message(&message);
    stream::send(to, seal(Message::Start {})).await;
    let mut keepalive = time::interval(times.keepalive);
    keepalive.reset();
    loop {
        let message = select! {
            biased;
            event = watcher.next() => match event {
                Ok(event) => {
                    keepalive.reset();
                    Message::Filesystem(Told::new(sim, event))
                }
                Err(overflow) => return overflow,
            },
            _ = keepalive.tick() => Message::Keepalive {},
        };
        stream::send(to, seal(message)).await;
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
    match method {
        "CreateWatcher" => rpc::respond(request, create(sim, id, files, request)),
        "GetWatcherEvents" => rpc::respond(request, events(sim, files, request)),
        _ => rpc::respond(request, remove(files, request)),
    }
}

fn create(sim: &Shared, id: &str, files: &Files, request: &Received) -> Result<Created, Error> {
    let watcher = open(files, rpc::message(request)?, request)?;
    let name = |number| {
        let number = number_of(id).wrapping_add(number);
        let mut dice = dice(sim.config.seed, Subject::Watcher, number);
        format!("w{}", letters(&mut dice, 20))
    };
    Ok(Created { watcher_id: files.keep(watcher, name) })
}

fn events(sim: &Shared, files: &Files, request: &Received) -> Result<Events, Error> {
    let WatcherRequest { watcher_id } = rpc::message(request)?;
    let watcher = files.watcher(&watcher_id).ok_or_else(|| not_found(&watcher_id))?;
    let events = watcher.take().map_err(|Overflow| overflowed())?;
    Ok(Events { events: events.into_iter().map(|event| Told::new(sim, event)).collect() })
}

fn remove(files: &Files, request: &Received) -> Result<Empty, Error> {
    let WatcherRequest { watcher_id } = rpc::message(request)?;
    if files.forget_watcher(&watcher_id) { Ok(Empty {}) } else { Err(not_found(&watcher_id)) }
}

fn open(files: &Files, asked: WatchRequest, request: &Received) -> Result<Arc<Watcher>, Error> {
    let user = rpc::user(&request.parts.headers)?;
    let path = rpc::resolve(&asked.path, &user);
    let entry = files.entry(&path).map_err(|error| {
        let code = match error {
            FileError::NotFound => Code::NotFound,
            FileError::Invalid | FileError::NameTooLong => Code::InvalidArgument,
            _ => Code::Internal,
        };
        let what = if code == Code::NotFound {
            format!("path {path} not found")
        } else {
            format!("error statting path {path}")
        };
        Error::new(code, format!("{what}: stat {path}: {error}"))
    })?;
    if entry.kind != Kind::Directory {
        // The end of it is a slip of the real one's.
        let message = format!("path {path} not a directory: %!w(<nil>)");
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let watched = Watched {
        directory: entry.path,
        recursive: asked.recursive,
        with_entries: asked.include_entry,
    };
    files.watch(watched).map_err(|TooManyWatchers| {
        Error::new(Code::Internal, "error creating watcher: too many open files")
    })
}

fn not_found(watcher_id: &str) -> Error {
    Error::new(Code::NotFound, format!("watcher with id {watcher_id} not found"))
}

fn overflowed() -> Error {
    Error::new(Code::Internal, "watcher error: fsnotify: queue or buffer overflow")
}
