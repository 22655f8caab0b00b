//! `filesystem.Filesystem`: looking at files and moving them.

use serde_json::json;

use super::connect::{Code, Error};
use super::*;
use crate::date;

/// How deep a list may go.
const MAX_DEPTH: u32 = 64;

/// The fields of all these RPCs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    path: String,
    depth: u32,
    source: String,
    destination: String,
}

/// What is known of a file. Numbers of 64 bits are strings in protobuf's JSON, and what is empty is
/// left out.
pub(super) fn info(sim: &Shared, entry: &Entry) -> Value {
    let mut info = json!({
        "name": entry.name(),
        "type": match entry.kind {
            Kind::File => "FILE_TYPE_FILE",
            Kind::Directory => "FILE_TYPE_DIRECTORY",
        },
        "path": entry.path,
        "size": entry.size.to_string(),
        "mode": entry.mode,
        "permissions": entry.permissions(),
        "owner": entry.owner,
        "group": entry.owner,
        "modifiedTime": date::rfc3339(sim.date(entry.modified)),
    });
    if !entry.metadata.is_empty() {
        info["metadata"] = json!(entry.metadata);
    }
    info
}

/// An RPC; `method` is the last part of its path.
pub(super) fn unary(call: Call<'_>, method: &str) -> Result<Value, Error> {
    let (files, message) = (call.files, rpc::message::<Request>(call.request)?);
    let user = call.user()?;
    let [path, source, destination] =
        [message.path, message.source, message.destination].map(|path| rpc::resolve(&path, &user));
    let entry = match method {
        "Stat" => stat(files, &path)?,
        "MakeDir" => make_dir(files, &path, &user)?,
        "Move" => rename(files, &source, &destination, &user)?,
        "ListDir" => {
            let entries = list_dir(files, &path, message.depth)?;
            let entries: Vec<_> = entries.iter().map(|entry| info(call.sim, entry)).collect();
            return Ok(rpc::list("entries", entries));
        }
        _ => return remove(files, &path).map(|()| json!({})),
    };
    Ok(json!({ "entry": info(call.sim, &entry) }))
}

fn stat(files: &Files, path: &str) -> Result<Entry, Error> {
    files.entry(path).map_err(|error| match error {
        FileError::NotFound | FileError::NotDirectory => not_found("file", path, error),
        error => failed("error getting file info", path, error),
    })
}

fn make_dir(files: &Files, path: &str, user: &str) -> Result<Entry, Error> {
    files.provide_directory(path, user).map_err(|error| match error {
        FileError::Exists if files.is_directory(path) => {
            Error::new(Code::ALREADY_EXISTS, format!("directory already exists: {path}"))
        }
        FileError::Exists | FileError::NotDirectory => {
            let message = format!("path already exists but it is not a directory: {path}");
            Error::new(Code::INVALID_ARGUMENT, message)
        }
        error => failed("error creating directory", path, error),
    })?;
    stat(files, path)
}

fn list_dir(files: &Files, path: &str, depth: u32) -> Result<Vec<Entry>, Error> {
    files.list(path, depth.clamp(1, MAX_DEPTH) as usize).map_err(|error| match error {
        FileError::NotFound => not_found("path", path, error),
        FileError::NotDirectory => {
            Error::new(Code::INVALID_ARGUMENT, format!("path is not a directory: {path}"))
        }
        error => failed("error reading directory", path, error),
    })
}

fn rename(files: &Files, from: &str, to: &str, user: &str) -> Result<Entry, Error> {
    files.rename(from, to, user).map_err(|error| match error {
        FileError::NotFound => not_found("source file", from, error),
        error => failed("error renaming", to, error),
    })?;
    stat(files, to)
}

/// What is not there is removed already.
fn remove(files: &Files, path: &str) -> Result<(), Error> {
    match files.remove(path) {
        Ok(()) | Err(FileError::NotFound | FileError::NotDirectory) => Ok(()),
        Err(error) => Err(failed("error removing file or directory", path, error)),
    }
}

fn not_found(what: &str, path: &str, error: FileError) -> Error {
    Error::new(Code::NOT_FOUND, format!("{what} not found: lstat {path}: {error}"))
}

fn failed(what: &str, path: &str, error: FileError) -> Error {
    let code = match error {
        FileError::NoSpace => Code::RESOURCE_EXHAUSTED,
        FileError::Invalid | FileError::NameTooLong => Code::INVALID_ARGUMENT,
        _ => Code::INTERNAL,
    };
    Error::new(code, format!("{what}: {path}: {error}"))
}
