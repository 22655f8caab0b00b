//! `filesystem.Filesystem`: looking at files and moving them.

use http::{HeaderMap, Response};
use serde::{Deserialize, Serialize};

use super::connect::{Code, Error};
use super::rpc::{self, Empty};
use crate::body::Body;
use crate::date;
use crate::files::{Entry, FileError, Files, Kind, Metadata};
use crate::request::Received;
use crate::state::Shared;

/// How deep a list may go.
const MAX_DEPTH: u32 = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PathRequest {
    path: String,
    depth: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MoveRequest {
    source: String,
    destination: String,
}

#[derive(Debug, Serialize)]
struct One {
    entry: Info,
}

#[derive(Debug, Serialize)]
struct Many {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entries: Vec<Info>,
}

/// What is told of a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    name: String,
    r#type: &'static str,
    path: String,
    /// Numbers of 64 bits are strings in protobuf's JSON.
    size: String,
    mode: u32,
    permissions: String,
    owner: String,
    group: String,
    modified_time: String,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
}

impl Info {
    pub(super) fn new(sim: &Shared, entry: Entry) -> Self {
        Self {
            name: entry.name().to_owned(),
            r#type: match entry.kind {
                Kind::File => "FILE_TYPE_FILE",
                Kind::Directory => "FILE_TYPE_DIRECTORY",
            },
            size: entry.size.to_string(),
            mode: entry.mode,
            permissions: entry.permissions(),
            group: entry.owner.clone(),
            modified_time: date::rfc3339(sim.date(entry.modified)),
            owner: entry.owner,
            path: entry.path,
            metadata: entry.metadata,
        }
    }
}

/// Answers an RPC; `method` is the last part of its path.
pub(super) fn respond(
    sim: &Shared,
    files: &Files,
    method: &str,
    request: &Received,
) -> Response<Body> {
    let headers = &request.parts.headers;
    match method {
        "Stat" => rpc::respond(request, stat(sim, files, headers, request)),
        "MakeDir" => rpc::respond(request, make_dir(sim, files, headers, request)),
        "ListDir" => rpc::respond(request, list_dir(sim, files, headers, request)),
        "Move" => rpc::respond(request, rename(sim, files, headers, request)),
        _ => rpc::respond(request, remove(files, headers, request)),
    }
}

fn stat(sim: &Shared, files: &Files, headers: &HeaderMap, asked: &Received) -> Result<One, Error> {
    let (path, _) = path(headers, asked)?;
    let entry = files.entry(&path).map_err(|error| match error {
        FileError::NotFound | FileError::NotDirectory => not_found("file", &path, error),
        error => failed("error getting file info", &path, error),
    })?;
    Ok(One { entry: Info::new(sim, entry) })
}

fn make_dir(
    sim: &Shared,
    files: &Files,
    headers: &HeaderMap,
    asked: &Received,
) -> Result<One, Error> {
    let (path, user) = path(headers, asked)?;
    files.provide_directory(&path, &user).map_err(|error| match error {
        FileError::Exists if files.is_directory(&path) => {
            Error::new(Code::AlreadyExists, format!("directory already exists: {path}"))
        }
        FileError::Exists | FileError::NotDirectory => {
            let message = format!("path already exists but it is not a directory: {path}");
            Error::new(Code::InvalidArgument, message)
        }
        error => failed("error creating directory", &path, error),
    })?;
    let entry = files.entry(&path).map_err(|error| failed("error getting file info", &path, error));
    Ok(One { entry: Info::new(sim, entry?) })
}

fn list_dir(
    sim: &Shared,
    files: &Files,
    headers: &HeaderMap,
    asked: &Received,
) -> Result<Many, Error> {
    let request: PathRequest = rpc::message(asked)?;
    let user = rpc::user(headers)?;
    let path = rpc::resolve(&request.path, &user);
    let depth = request.depth.clamp(1, MAX_DEPTH) as usize;
    let entries = files.list(&path, depth).map_err(|error| match error {
        FileError::NotFound => not_found("path", &path, error),
        FileError::NotDirectory => {
            Error::new(Code::InvalidArgument, format!("path is not a directory: {path}"))
        }
        error => failed("error reading directory", &path, error),
    })?;
    Ok(Many { entries: entries.into_iter().map(|entry| Info::new(sim, entry)).collect() })
}

fn rename(
    sim: &Shared,
    files: &Files,
    headers: &HeaderMap,
    asked: &Received,
) -> Result<One, Error> {
    let request: MoveRequest = rpc::message(asked)?;
    let user = rpc::user(headers)?;
    let from = rpc::resolve(&request.source, &user);
    let to = rpc::resolve(&request.destination, &user);
    files.rename(&from, &to, &user).map_err(|error| match error {
        FileError::NotFound => not_found("source file", &from, error),
        error => failed("error renaming", &to, error),
    })?;
    let entry = files.entry(&to).map_err(|error| failed("error getting file info", &to, error));
    Ok(One { entry: Info::new(sim, entry?) })
}

/// What is not there is removed already.
fn remove(files: &Files, headers: &HeaderMap, asked: &Received) -> Result<Empty, Error> {
    let (path, _) = path(headers, asked)?;
    match files.remove(&path) {
        Ok(()) | Err(FileError::NotFound | FileError::NotDirectory) => Ok(Empty {}),
        Err(error) => Err(failed("error removing file or directory", &path, error)),
    }
}

fn path(headers: &HeaderMap, asked: &Received) -> Result<(String, String), Error> {
    let request: PathRequest = rpc::message(asked)?;
    let user = rpc::user(headers)?;
    Ok((rpc::resolve(&request.path, &user), user))
}

fn not_found(what: &str, path: &str, error: FileError) -> Error {
    Error::new(Code::NotFound, format!("{what} not found: lstat {path}: {error}"))
}

fn failed(what: &str, path: &str, error: FileError) -> Error {
    let code = match error {
        FileError::NoSpace => Code::ResourceExhausted,
        FileError::Invalid | FileError::NameTooLong => Code::InvalidArgument,
        _ => Code::Internal,
    };
    Error::new(code, format!("{what}: {path}: {error}"))
}
