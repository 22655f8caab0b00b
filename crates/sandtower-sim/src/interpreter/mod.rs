//! The code interpreter: runs statements in contexts that remember their variables.

mod expression;
mod operation;
mod statement;
mod token;
mod value;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use tokio::{select, sync::watch, time};

use crate::{
    answer,
    body::{Body, Sender},
    clock, date,
    error::ConnectionError,
    json, proxy,
    sandbox::{self, Life},
    service::Received,
    sim::Shared,
};

use statement::{Effect, Statement};
use value::{Exception, Value};

/// The port that the interpreter listens on.
pub(crate) const PORT: u16 = 49999;

/// Contexts of a sandbox at a time.
const MAX_CONTEXTS: usize = 32;
/// What the variables of a context may hold, in bytes.
const MAX_VARIABLES: usize = 1024 * 1024;
/// The context of code that names none.
const DEFAULT: &str = "default";
const HOME: &str = "/home/user";

/// The contexts of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    by_id: BTreeMap<String, Context>,
    made: u32,
}

/// Where code runs: what it sets is still there for what runs next.
#[derive(Debug)]
struct Context {
    language: String,
    cwd: String,
    executions: u32,
    variables: BTreeMap<String, Value>,
}

impl Context {
    fn new(language: String, cwd: String) -> Self {
        Self { language, cwd, executions: 0, variables: BTreeMap::new() }
    }

    fn described<'a>(&'a self, id: &'a str) -> Described<'a> {
        Described { id, language: &self.language, cwd: &self.cwd }
    }

    fn assign(&mut self, name: String, value: Value) -> Result<(), Exception> {
        let held: usize = self.variables.values().map(Value::size).sum();
        if held + value.size() > MAX_VARIABLES {
            return Err(Exception::new("MemoryError", ""));
        }
        self.variables.insert(name, value);
        Ok(())
    }
}

#[derive(Serialize)]
struct Described<'a> {
    id: &'a str,
    language: &'a str,
    cwd: &'a str,
}

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

/// A line of the answer.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    NumberOfExecutions { execution_count: u32 },
    Stdout { text: &'a str, timestamp: String },
    Stderr { text: &'a str, timestamp: String },
    Result { text: &'a str, is_main_result: bool },
    Error { name: &'a str, value: &'a str, traceback: &'a str },
    EndOfExecution,
}

/// What the interpreter needs of the sandbox that it is in.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) contexts: Arc<Mutex<Contexts>>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) life: watch::Receiver<Life>,
}

/// Answers a request that goes to the interpreter's port.
pub(crate) fn answer(sim: &Arc<Shared>, inside: Inside, request: &Received) -> Response<Body> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    let segments: Vec<_> = path.trim_matches('/').split('/').collect();
    let contexts = || locked(&inside.contexts);
    match (method, segments.as_slice()) {
        (&Method::GET, ["health"]) => answer::json(StatusCode::OK, &"OK"),
        (&Method::POST, ["execute"]) => execute(sim, &inside, request),
        (&Method::GET, ["contexts"]) => {
            let contexts = contexts();
            let all = contexts.by_id.iter().map(|(id, context)| context.described(id));
            answer::json(StatusCode::OK, &all.collect::<Vec<_>>())
        }
        (&Method::POST, ["contexts"]) => create(&mut contexts(), request),
        (&Method::DELETE, ["contexts", id]) => match contexts().by_id.remove(*id) {
            Some(_) => answer::empty(StatusCode::NO_CONTENT),
            None => no_context(id),
        },
        (&Method::POST, ["contexts", id, "restart"]) => match contexts().by_id.get_mut(*id) {
            Some(context) => {
                context.variables.clear();
                context.executions = 0;
                answer::empty(StatusCode::NO_CONTENT)
            }
            None => no_context(id),
        },
        (_, ["health" | "execute" | "contexts", ..]) => {
            let body = serde_json::json!({"detail": "Method Not Allowed"});
            answer::json(StatusCode::METHOD_NOT_ALLOWED, &body)
        }
        _ => answer::json(StatusCode::NOT_FOUND, &serde_json::json!({"detail": "Not Found"})),
    }
}

fn locked(contexts: &Mutex<Contexts>) -> MutexGuard<'_, Contexts> {
    contexts.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_context(id: &str) -> Response<Body> {
    let id: String = id.chars().take(64).collect();
    text(StatusCode::NOT_FOUND, format!("Context {id} not found"))
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut answer = answer::json_text(status, Bytes::from(text));
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

fn unprocessable(problem: &str) -> Response<Body> {
    let detail = serde_json::json!([{"type": "json_invalid", "loc": ["body"], "msg": problem}]);
    let body = serde_json::json!({ "detail": detail });
    answer::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

fn knows(language: Option<&str>) -> bool {
    language.is_none_or(|language| language.eq_ignore_ascii_case("python"))
}

fn create(contexts: &mut Contexts, request: &Received) -> Response<Body> {
    let body = request.body.as_deref().unwrap_or_default();
    let new: NewContext = match json::object(if body.is_empty() { b"{}" } else { body }) {
        Ok(new) => new,
        Err(error) => return unprocessable(&error.to_string()),
    };
    if !knows(new.language.as_deref()) {
        let message = "the simulator knows no language but python".to_owned();
        return text(StatusCode::INTERNAL_SERVER_ERROR, message);
    }
    if contexts.by_id.len() >= MAX_CONTEXTS {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "too many contexts".to_owned());
    }
    contexts.made += 1;
    // As long as the real ones, and the same in every run.
    let id = format!("00000000-0000-4000-8000-{:012x}", contexts.made);
    let cwd = new.cwd.unwrap_or_else(|| HOME.to_owned());
    let context = Context::new(String::from("python"), cwd);
    let answer = answer::json(StatusCode::OK, &context.described(&id));
    contexts.by_id.insert(id, context);
    answer
}

fn execute(sim: &Arc<Shared>, inside: &Inside, request: &Received) -> Response<Body> {
    let Ok(body) = &request.body else { return proxy::nowhere("request body too large") };
    let asked: Execute = match json::object(body) {
        Ok(asked) => asked,
        Err(error) => return unprocessable(&error.to_string()),
    };
    if asked.context_id.is_some() && asked.language.is_some() {
        let message = "Only one of context_id or language can be provided".to_owned();
        return text(StatusCode::BAD_REQUEST, message);
    }
    if !knows(asked.language.as_deref()) {
        let message = "the simulator knows no language but python".to_owned();
        return text(StatusCode::INTERNAL_SERVER_ERROR, message);
    }
    let id = asked.context_id.unwrap_or_else(|| DEFAULT.to_owned());
    let count = {
        let mut contexts = locked(&inside.contexts);
        if id == DEFAULT && !contexts.by_id.contains_key(DEFAULT) {
            let context = Context::new(String::from("python"), HOME.to_owned());
            contexts.by_id.insert(DEFAULT.to_owned(), context);
        }
        let Some(context) = contexts.by_id.get_mut(&id) else { return no_context(&id) };
        context.executions += 1;
        context.executions
    };
    let mut environment = inside.environment.clone();
    environment.extend(asked.env_vars.unwrap_or_default());
    let run = Run {
        sim: Arc::clone(sim),
        contexts: Arc::clone(&inside.contexts),
        id,
        environment,
        code: asked.code,
    };
    let (to, body) = Body::stream();
    let mut life = inside.life.clone();
    tokio::spawn(async move {
        let sim = Arc::clone(&run.sim);
        select! {
            biased;
            () = sandbox::stopped(&sim, &mut life) => {
                // A reader that does not read finds the connection gone without this.
                drop(to.try_send(Err(ConnectionError::reset(true))));
            }
            () = to.closed() => {}
            () = run.all(count, &to) => {}
        }
    });
    let mut answer = Response::new(body);
    let content_type = HeaderValue::from_static("application/x-ndjson");
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

/// Code that runs.
struct Run {
    sim: Arc<Shared>,
    contexts: Arc<Mutex<Contexts>>,
    id: String,
    environment: BTreeMap<String, String>,
    code: String,
}

impl Run {
    async fn all(&self, count: u32, to: &Sender) {
        send(to, &Line::NumberOfExecutions { execution_count: count }).await;
        if let Err(exception) = self.statements(to).await {
            let Exception { name, value } = &exception;
            let traceback = exception.traceback();
            send(to, &Line::Error { name, value, traceback: &traceback }).await;
        }
        send(to, &Line::EndOfExecution).await;
    }

    async fn statements(&self, to: &Sender) -> Result<(), Exception> {
        // As with Python: code that cannot be read runs not at all.
        let statements = statement::parse(&self.code)?;
        let last = statements.len().saturating_sub(1);
        for (at, statement) in statements.into_iter().enumerate() {
            match self.perform(statement)? {
                Effect::None => {}
                Effect::Print { text, to_stderr } => self.print(to, &text, to_stderr).await,
                Effect::Sleep(wait) => sleep(wait).await,
                Effect::Value(value) if at == last && value != Value::None => {
                    send(to, &Line::Result { text: &value.repr(), is_main_result: true }).await;
                }
                Effect::Value(_) => {}
            }
        }
        Ok(())
    }

    fn perform(&self, statement: Statement) -> Result<Effect, Exception> {
        let mut contexts = locked(&self.contexts);
        let Some(context) = contexts.by_id.get_mut(&self.id) else {
            return Err(Exception::new("RuntimeError", "the context was removed"));
        };
        statement.perform(context, &self.environment)
    }

    async fn print(&self, to: &Sender, text: &str, to_stderr: bool) {
        let timestamp = date::rfc3339(self.sim.date(clock::now()));
        let line = if to_stderr {
            Line::Stderr { text, timestamp }
        } else {
            Line::Stdout { text, timestamp }
        };
        send(to, &line).await;
    }
}

async fn sleep(wait: Duration) {
    time::sleep(wait).await;
}

async fn send(to: &Sender, line: &Line<'_>) {
    let mut json = answer::to_json(line).to_vec();
    json.push(b'\n');
    // Nobody reads any more: the execution is about to be given up.
    drop(to.send(Ok(json.into())).await);
}
