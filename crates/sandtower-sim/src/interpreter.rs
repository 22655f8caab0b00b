//! The code interpreter: runs cells in contexts that remember their variables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Response, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{select, sync::watch};

use crate::body::{Body, Sender};
use crate::error::ConnectionError;
use crate::files::Files;
use crate::lock::lock;
use crate::request::Received;
use crate::response::{self, With as _, not_simulated};
use crate::runner::{self, Cell, Chunk, Exception, Kernel, Output};
use crate::state::Shared;
use crate::state::contexts::{Contexts, HOME, TooMany};
use crate::state::sandbox::{self, Life};
use crate::{clock, date, proxy};

/// The port that the interpreter listens on.
pub(crate) const PORT: u16 = 49999;

#[derive(Debug, Deserialize)]
struct Execute {
    code: String,
    context_id: Option<String>,
    language: Option<String>,
    env_vars: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NewContext {
    language: Option<String>,
    cwd: Option<String>,
}

/// What the interpreter needs of the sandbox that it is in.
pub(crate) struct Inside {
    pub(crate) contexts: Arc<Mutex<Contexts>>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) files: Files,
    pub(crate) life: watch::Receiver<Life>,
}

/// Responds to a request to the interpreter's port.
pub(crate) fn respond(sim: &Arc<Shared>, inside: Inside, request: &Received) -> Response<Body> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    let segments: Vec<_> = path.trim_matches('/').split('/').collect();
    let runner = &*sim.config.runner;
    let contexts = || lock(&inside.contexts);
    contexts().fill(runner);
    let done = |found: bool, id: &str| {
        if found { response::json(200, &()) } else { no_context(id) }
    };
    match (method, segments.as_slice()) {
        (&Method::GET, ["health"]) => response::json(200, &"OK"),
        (&Method::POST, ["execute"]) => execute(sim, inside, request),
        (&Method::GET, ["contexts"]) => response::json(200, &contexts().all().collect::<Vec<_>>()),
        (&Method::POST, ["contexts"]) => create(sim, &mut contexts(), request),
        (&Method::DELETE, ["contexts", id]) => done(contexts().remove(id), id),
        (&Method::POST, ["contexts", id, "restart"]) => done(contexts().restart(runner, id), id),
        (_, ["health" | "execute" | "contexts", ..]) => {
            response::json(405, &json!({"detail": "Method Not Allowed"}))
        }
        _ => response::json(404, &json!({"detail": "Not Found"})),
    }
}

fn no_context(id: &str) -> Response<Body> {
    let id: String = id.chars().take(64).collect();
    response::text(404, format!("Context {id} not found"))
}

fn unprocessable(problem: &str) -> Response<Body> {
    let detail = json!([{"type": "json_invalid", "loc": ["body"], "msg": problem}]);
    response::json(422, &json!({ "detail": detail }))
}

/// A language by the name that the server has for it.
fn normalized(language: &str) -> String {
    match language.to_lowercase().as_str() {
        "js" => String::from("javascript"),
        "ts" => String::from("typescript"),
        other => other.to_owned(),
    }
}

fn unknown_language(language: &str) -> Response<Body> {
    let language: String = language.chars().take(64).collect();
    not_simulated(format_args!("code in {language}")).response()
}

fn create(sim: &Shared, contexts: &mut Contexts, request: &Received) -> Response<Body> {
    let body = request.body.as_deref().unwrap_or_default();
    let new: NewContext = match crate::json::object(if body.is_empty() { b"{}" } else { body }) {
        Ok(new) => new,
        Err(error) => return unprocessable(&error.to_string()),
    };
    let language = normalized(new.language.as_deref().unwrap_or("python"));
    let runner = &*sim.config.runner;
    if runner.kernel(&language).is_none() {
        return unknown_language(&language);
    }
    match contexts.create(runner, &language, new.cwd.unwrap_or_else(|| HOME.to_owned())) {
        Ok(context) => response::json(200, context),
        Err(TooMany) => response::text(500, "too many contexts"),
    }
}

fn execute(sim: &Arc<Shared>, inside: Inside, request: &Received) -> Response<Body> {
    let Ok(body) = &request.body else { return proxy::nowhere("request body too large") };
    let asked: Execute = match crate::json::object(body) {
        Ok(asked) => asked,
        Err(error) => return unprocessable(&error.to_string()),
    };
    if asked.context_id.is_some() && asked.language.is_some() {
        return response::text(400, "Only one of context_id or language can be provided");
    }
    let (count, directory, kernel) = {
        let mut contexts = lock(&inside.contexts);
        let context = match (&asked.language, asked.context_id.as_deref().unwrap_or("default")) {
            (Some(language), _) => match contexts.of_language(&normalized(language)) {
                Some(context) => context,
                None => return unknown_language(language),
            },
            (None, id) => match contexts.get(id) {
                Some(context) => context,
                None => return no_context(id),
            },
        };
        let Some(kernel) = context.kernel.clone() else {
            return unknown_language(&context.language);
        };
        context.executions += 1;
        (context.executions, context.cwd.clone(), kernel)
    };
    let mut environment = inside.environment;
    environment.extend(asked.env_vars.unwrap_or_default());
    let cell = Cell { code: asked.code, environment, directory, files: inside.files };
    let (to, body) = Body::stream();
    let (sim, mut life) = (Arc::clone(sim), inside.life);
    tokio::spawn(async move {
        select! {
            biased;
            () = sandbox::stopped(&sim, &mut life) => {
                // A reader that does not read finds the connection gone without this.
                drop(to.try_send(Err(ConnectionError::reset(true))));
            }
            () = to.closed() => {}
            () = run(&sim, &*kernel, cell, count, &to) => {}
        }
    });
    Response::new(body).with(CONTENT_TYPE, "application/x-ndjson")
}

/// Runs a cell and sends what it does, line by line.
async fn run(sim: &Shared, kernel: &dyn Kernel, cell: Cell, count: u32, to: &Sender) {
    send(to, json!({ "type": "number_of_executions", "execution_count": count })).await;
    let (output, chunks) = Output::new();
    let outcome =
        runner::drive(kernel.execute(cell, output), chunks, |chunk| print(sim, chunk, to)).await;
    match outcome {
        Ok(None) => {}
        Ok(Some(text)) => {
            // The real server takes a text's quotes off, and leaves what is escaped in it.
            let bare = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            let text = bare.unwrap_or(&text);
            send(to, json!({ "type": "result", "text": text, "is_main_result": true })).await;
        }
        Err(Exception { name, value, traceback }) => {
            let error =
                json!({ "type": "error", "name": name, "value": value, "traceback": traceback });
            send(to, error).await;
        }
    }
    send(to, json!({ "type": "end_of_execution" })).await;
}

async fn print(sim: &Shared, chunk: Chunk, to: &Sender) {
    let timestamp = date::rfc3339(sim.date(clock::now()));
    let text = String::from_utf8_lossy(&chunk.bytes);
    send(to, json!({ "type": chunk.stream, "text": text, "timestamp": timestamp })).await;
}

async fn send(to: &Sender, line: Value) {
    // Without a reader the execution is about to be given up.
    drop(to.send(Ok(format!("{line}\n").into())).await);
}
