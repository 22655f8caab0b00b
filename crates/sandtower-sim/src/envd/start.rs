//! `Process/Start`: reading the request.

use std::{collections::BTreeMap, sync::Arc};

use http::Response;
use serde::Deserialize;

use super::{
    connect::{self, Code, Error},
    process::{self, Config, Follow, Process},
    rpc::{self, Times},
};
use crate::{
    body::Body,
    files::{self, Files},
    runner::Command,
    service::Received,
    sim::Shared,
};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StartRequest {
    process: Option<ConfigMessage>,
    pty: Option<serde::de::IgnoredAny>,
    tag: Option<String>,
    stdin: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigMessage {
    cmd: String,
    args: Vec<String>,
    envs: BTreeMap<String, String>,
    cwd: Option<String>,
}

/// What is to be started.
#[derive(Debug)]
struct Draft {
    config: Config,
    tag: Option<String>,
    stdin: bool,
    directory: String,
    user: String,
    times: Times,
}

/// Starts a process, whose events are the answer.
pub(super) fn start(
    sim: &Arc<Shared>,
    id: &str,
    files: &Files,
    request: &Received,
) -> Response<Body> {
    match read(files, request).and_then(|draft| fork(sim, id, draft)) {
        Ok(follow) => connect::stream(process::follow(Arc::clone(sim), follow)),
        Err(error) => error.in_stream(),
    }
}

fn read(files: &Files, request: &Received) -> Result<Draft, Error> {
    let headers = &request.parts.headers;
    let times = Times::of(headers)?;
    let message: StartRequest = rpc::first(request)?;
    if message.pty.is_some() {
        return Err(Error::new(Code::Unimplemented, "a pty is not simulated yet"));
    }
    let user = rpc::user(headers)?;
    let process = message.process.unwrap_or_default();
    let cwd = process.cwd.filter(|cwd| !cwd.is_empty());
    let directory = rpc::resolve(cwd.as_deref().unwrap_or_default(), &user);
    let directory = match files.entry(&directory) {
        Ok(entry) if files.is_directory(&entry.path) => entry.path,
        _ => {
            let message = format!("cwd '{directory}' does not exist");
            return Err(Error::new(Code::InvalidArgument, message));
        }
    };
    Ok(Draft {
        config: Config { cmd: process.cmd, args: process.args, envs: process.envs, cwd },
        tag: message.tag,
        // Clients from before the field write to every process.
        stdin: message.stdin.unwrap_or(true),
        directory,
        user,
        times,
    })
}

/// Makes a process of the sandbox, which may have ended meanwhile.
fn fork(sim: &Arc<Shared>, id: &str, draft: Draft) -> Result<Follow, Error> {
    let Draft { config, tag, stdin, directory, user, times } = draft;
    let mut state = sim.state();
    let sandbox = state.sandboxes.get_mut(id).ok_or_else(|| no_more(id))?;
    let Some(pid) = sandbox.next_pid() else {
        let message = "fork/exec: resource temporarily unavailable";
        return Err(Error::new(Code::ResourceExhausted, message));
    };
    let home = files::home(&user);
    let own = [
        ("E2B_SANDBOX", "true"),
        ("E2B_SANDBOX_ID", id),
        ("E2B_TEMPLATE_ID", &sandbox.template_id),
        ("HOME", home),
        ("LOGNAME", &user),
        ("PATH", PATH),
        ("SHELL", "/bin/bash"),
        ("USER", &user),
    ];
    let mut environment: BTreeMap<_, _> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    environment.extend(sandbox.env_vars.clone());
    environment.extend(config.envs.clone());
    let command = Command {
        program: config.cmd.clone(),
        arguments: config.args.clone(),
        environment,
        directory,
        user,
        pid,
        files: sandbox.files.clone(),
    };
    let (process, input) = Process::new(pid, tag, config, stdin);
    let process = Arc::new(process);
    sandbox.processes.insert(pid, Arc::clone(&process));
    let life = sandbox.life.subscribe();
    let events = process.listen().map_err(|process::TooMany| too_many())?;
    let follow =
        Follow { process: Arc::clone(&process), events, times, life: life.clone(), kills: true };
    tokio::spawn(process::run(Arc::clone(sim), id.to_owned(), process, command, input, life));
    Ok(follow)
}

pub(super) fn too_many() -> Error {
    Error::new(Code::ResourceExhausted, "too many streams follow this process")
}

pub(super) fn no_more(id: &str) -> Error {
    Error::new(Code::Internal, format!("sandbox {id} is shutting down"))
}
