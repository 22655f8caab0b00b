//! `Process/Start`: reading the request.

use super::connect::{Code, Error};
use super::process::{Follow, Started};
use super::*;
use crate::files;
use crate::runner::{Output, Size};
use crate::state::process::Config;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StartRequest {
    process: Option<ConfigMessage>,
    pty: Option<Pty>,
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

/// The terminal of a process.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pty {
    pub(super) size: Size,
}

/// What is to be started.
struct Draft {
    terminal: Option<Size>,
    config: Config,
    tag: Option<String>,
    stdin: bool,
    directory: String,
    user: String,
}

/// Starts a process, whose events are the stream.
pub(super) fn start(call: Call<'_>) -> Result<Body, Error> {
    let draft = read(call)?;
    let follow = call.sandbox(|sandbox| fork(call, sandbox, draft))??;
    Ok(process::follow(Arc::clone(call.sim), follow))
}

fn read(call: Call<'_>) -> Result<Draft, Error> {
    let message: StartRequest = rpc::first(call.request)?;
    if message.pty.is_some() && !call.sim.config.runner.has_terminals() {
        return Err(Error::new(Code::UNIMPLEMENTED, "not simulated: a pty"));
    }
    let user = call.user()?;
    let process = message.process.unwrap_or_default();
    let cwd = process.cwd.filter(|cwd| !cwd.is_empty());
    let directory = rpc::resolve(cwd.as_deref().unwrap_or_default(), &user);
    let directory = match call.files.entry(&directory) {
        Ok(entry) if entry.kind == Kind::Directory => entry.path,
        _ => {
            let message = format!("cwd '{directory}' does not exist");
            return Err(Error::new(Code::INVALID_ARGUMENT, message));
        }
    };
    Ok(Draft {
        terminal: message.pty.map(|pty| pty.size),
        config: Config { cmd: process.cmd, args: process.args, envs: process.envs, cwd },
        tag: message.tag,
        // Clients from before the field write to every process.
        stdin: message.stdin.unwrap_or(true),
        directory,
        user,
    })
}

fn fork(call: Call<'_>, sandbox: &mut Sandbox, draft: Draft) -> Result<Follow, Error> {
    let Draft { terminal, config, tag, stdin, directory, user } = draft;
    let Some(pid) = sandbox.next_pid() else {
        let message = "fork/exec: resource temporarily unavailable";
        return Err(Error::new(Code::RESOURCE_EXHAUSTED, message));
    };
    let home = files::home(&user);
    let own = [
        ("E2B_SANDBOX", "true"),
        ("E2B_SANDBOX_ID", call.id),
        ("E2B_TEMPLATE_ID", sandbox.settings.template_id.as_str()),
        ("HOME", home),
        ("LOGNAME", &user),
        ("PATH", PATH),
        ("SHELL", "/bin/bash"),
        ("USER", &user),
    ];
    let mut environment: BTreeMap<_, _> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    environment.extend(sandbox.settings.env_vars.clone());
    environment.extend(config.envs.clone());
    let command = Command {
        program: config.cmd.clone(),
        arguments: config.args.clone(),
        environment,
        directory,
        user,
        pid,
        files: sandbox.files.clone(),
        terminal,
    };
    let (output, chunks) = Output::new();
    let (process, io) = Process::new(pid, tag, config, stdin, terminal.is_some(), output);
    let process = Arc::new(process);
    sandbox.processes.insert(pid, Arc::clone(&process));
    let life = sandbox.life.subscribe();
    let events = process.listen().map_err(|TooMany| too_many())?;
    let follow = Follow { pid, events, times: call.times, life: life.clone() };
    // The deadline is the server's: it ends the process though its client has gone.
    let deadline = call.times.deadline;
    let started = Started { sandbox: call.id.to_owned(), command, io, chunks, deadline, life };
    tokio::spawn(process::run(Arc::clone(call.sim), process, started));
    Ok(follow)
}

pub(super) fn too_many() -> Error {
    Error::new(Code::RESOURCE_EXHAUSTED, "too many streams follow this process")
}
