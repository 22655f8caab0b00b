//! Runs a script. It is read twice by the same code: first without doing anything, which finds all
//! that is not simulated, then for real.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use tokio::{select, task::JoinSet};

use super::commands;
use super::io::{Io, Sink, Source};
use super::words::{self, MAX_HELD, Stop, Token};
use crate::files::{FileError, Files};
use crate::runner::Input;

/// Commands of one shell that run in the background at a time.
const MAX_JOBS: usize = 64;
/// Lists within lists.
const MAX_DEPTH: usize = 32;

type Done = Result<(), Stop>;
type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One shell.
pub(super) struct Shell {
    pub(super) environment: BTreeMap<String, String>,
    /// Variables that commands do not see.
    pub(super) variables: BTreeMap<String, String>,
    pub(super) directory: String,
    pub(super) user: String,
    pub(super) files: Files,
    /// What it was started as: complaints begin with it.
    pub(super) name: Arc<str>,
    pub(super) last: u8,
    pub(super) tokens: Arc<[(usize, Token)]>,
    pub(super) at: usize,
    pub(super) depth: usize,
    /// Background commands that keep its outputs open.
    pub(super) jobs: JoinSet<()>,
}

/// What a shell of its own runs.
#[derive(Clone, Copy, Debug)]
enum Part {
    AndOr,
    Stage,
}

/// What programs say of an error.
pub(super) fn say(error: FileError) -> String {
    let text = error.to_string();
    text[..1].to_uppercase() + &text[1..]
}

impl Shell {
    /// A copy that changes nothing here: what runs in a pipe or in the background.
    fn fork(&self, at: usize) -> Self {
        Self {
            environment: self.environment.clone(),
            variables: self.variables.clone(),
            directory: self.directory.clone(),
            user: self.user.clone(),
            files: self.files.clone(),
            name: Arc::clone(&self.name),
            last: self.last,
            tokens: Arc::clone(&self.tokens),
            at,
            depth: self.depth,
            jobs: JoinSet::new(),
        }
    }

    pub(super) fn path(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.directory) }
    }

    /// Runs the whole script, and what it leaves in the background with its outputs open.
    pub(super) async fn script(mut self, mut io: Io) -> u8 {
        let mut done = self.list(&mut io, false, &[]).await;
        if done.is_ok() {
            self.at = 0;
            done = self.list(&mut io, true, &[]).await;
        }
        self.end(done, io).await
    }

    fn alone(mut self, part: Part, mut io: Io) -> Work<'static, u8> {
        Box::pin(async move {
            let done = match part {
                Part::AndOr => self.and_or(&mut io, true).await,
                Part::Stage => self.stage(&mut io, true).await,
            };
            self.end(done, io).await
        })
    }

    /// The exit code, once all that keeps the outputs open has ended.
    pub(super) async fn end(mut self, done: Done, io: Io) -> u8 {
        let code = match done {
            Ok(()) => self.last,
            Err(Stop::Exit(code)) => code,
            Err(Stop::NotSimulated(what)) => {
                io.complain(format!("not simulated: {what}\n")).await;
                127
            }
        };
        drop(io);
        while self.jobs.join_next().await.is_some() {}
        code
    }

    fn sign(&mut self, among: &[&str]) -> Option<&'static str> {
        let (_, Token::Sign(sign)) = *self.tokens.get(self.at)? else { return None };
        among.contains(&sign).then(|| {
            self.at += 1;
            sign
        })
    }

    fn at_keyword(&self, among: &[&str]) -> bool {
        let token = self.tokens.get(self.at);
        token.is_some_and(
            |(_, token)| matches!(token, Token::Word(w) if among.contains(&w.as_str())),
        )
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.at_keyword(&[keyword]);
        self.at += usize::from(found);
        found
    }

    fn unexpected<T>(&self) -> Result<T, Stop> {
        let near = match self.tokens.get(self.at) {
            None => "the end",
            Some((_, Token::Sign(near))) => near,
            Some((_, Token::Word(near))) => near.as_str(),
        };
        Err(Stop::NotSimulated(format!("a syntax error near {near:?}")))
    }

    /// Lists up to one of these keywords, or to the end. Boxed: a list may hold lists.
    fn list<'a>(
        &'a mut self,
        io: &'a mut Io,
        run: bool,
        ends: &'static [&'static str],
    ) -> Work<'a, Done> {
        Box::pin(async move {
            let first = self.at;
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(Stop::NotSimulated(String::from("so deep a script")));
            }
            loop {
                while self.sign(&["\n"]).is_some() {}
                let start = self.at;
                if start == self.tokens.len() || self.at_keyword(ends) {
                    break;
                }
                self.and_or(io, false).await?;
                let end = self.at;
                let sign = self.sign(&["&", ";", "\n"]);
                if sign.is_none() && end < self.tokens.len() {
                    return self.unexpected();
                }
                if run && sign == Some("&") {
                    self.background(start, end, io).await;
                } else if run {
                    let after = std::mem::replace(&mut self.at, start);
                    self.and_or(io, true).await?;
                    self.at = after;
                }
            }
            self.depth -= 1;
            if first == self.at && !ends.is_empty() { self.unexpected() } else { Ok(()) }
        })
    }

    async fn and_or(&mut self, io: &mut Io, run: bool) -> Done {
        self.pipeline(io, run).await?;
        while let Some(sign) = self.sign(&["&&", "||"]) {
            while self.sign(&["\n"]).is_some() {}
            let wanted = (sign == "&&") == (self.last == 0);
            self.pipeline(io, run && wanted).await?;
        }
        Ok(())
    }

    async fn background(&mut self, start: usize, end: usize, io: &Io) {
        while self.jobs.try_join_next().is_some() {}
        if self.jobs.len() >= MAX_JOBS {
            let complaint = "fork: retry: Resource temporarily unavailable";
            io.complain(format!("{}: {complaint}\n", self.name)).await;
            self.last = 254;
            return;
        }
        self.last = 0;
        let signs: Vec<_> = self.tokens[start..end]
            .iter()
            .filter_map(|(_, token)| if let Token::Sign(sign) = token { Some(*sign) } else { None })
            .collect();
        // One command that keeps none of its caller's outputs does not hold them open.
        let detached = matches!(signs.as_slice(), ["&>"] | [">" | ">>", "2>&1" | "2>" | "2>>"]);
        let [output, errors] = if detached {
            [Sink::Null, Sink::Null]
        } else {
            [io.output.clone(), io.errors.clone()]
        };
        let io = Io { input: Source::empty(), output, errors };
        let (work, stopped) = (self.fork(start).alone(Part::AndOr, io), self.files.stopped());
        if !detached {
            self.jobs.spawn(async move {
                work.await;
            });
            return;
        }
        tokio::spawn(async move {
            select! {
                () = stopped => {}
                _ = work => {}
            }
        });
    }

    async fn pipeline(&mut self, io: &mut Io, run: bool) -> Done {
        let mut stages = vec![self.at];
        self.stage(io, false).await?;
        while self.sign(&["|"]).is_some() {
            while self.sign(&["\n"]).is_some() {}
            stages.push(self.at);
            self.stage(io, false).await?;
        }
        let end = self.at;
        match stages.as_slice() {
            _ if !run => {}
            [only] => {
                self.at = *only;
                self.stage(io, true).await?;
            }
            [before @ .., last] => {
                // Every command of a pipe is a shell of its own, and they all run at once.
                let mut running = JoinSet::new();
                let mut input = std::mem::replace(&mut io.input, Source::empty());
                for at in before {
                    let (pipe, reader) = Input::pipe();
                    let input = std::mem::replace(&mut input, Source::Live(reader));
                    let io = Io { input, output: Sink::Pipe(pipe), errors: io.errors.clone() };
                    running.spawn(self.fork(*at).alone(Part::Stage, io));
                }
                let io = Io { input, output: io.output.clone(), errors: io.errors.clone() };
                self.last = self.fork(*last).alone(Part::Stage, io).await;
                while running.join_next().await.is_some() {}
            }
            [] => {}
        }
        self.at = end;
        Ok(())
    }

    async fn stage(&mut self, io: &mut Io, run: bool) -> Done {
        if !self.keyword("if") {
            return self.simple(io, run).await;
        }
        self.list(io, run, &["then"]).await?;
        if !self.keyword("then") {
            return self.unexpected();
        }
        let holds = run && self.last == 0;
        self.list(io, holds, &["else", "fi"]).await?;
        if run && !holds {
            self.last = 0;
        }
        if self.keyword("else") {
            self.list(io, run && !holds, &["fi"]).await?;
        }
        if self.keyword("fi") { Ok(()) } else { self.unexpected() }
    }

    /// One command; with `run` it is expanded and run.
    async fn simple(&mut self, io: &mut Io, run: bool) -> Done {
        let (tokens, first) = (Arc::clone(&self.tokens), self.at);
        let (mut words, mut assignments, mut redirections) = (vec![], vec![], vec![]);
        if self.at_keyword(&["then", "else", "fi"]) {
            return self.unexpected();
        }
        while let Some((_, token)) = tokens.get(self.at) {
            match token {
                Token::Word(word) => match words::assignment(word).filter(|_| words.is_empty()) {
                    Some(assignment) => assignments.push(assignment),
                    None => words.push(word.as_str()),
                },
                Token::Sign("&&" | "||" | "|" | "&" | ";" | "\n") => break,
                Token::Sign(sign @ ("2>&1" | "1>&2" | ">&2")) => redirections.push((*sign, "")),
                Token::Sign(sign) => {
                    self.at += 1;
                    let Some((_, Token::Word(file))) = tokens.get(self.at) else {
                        return self.unexpected();
                    };
                    redirections.push((*sign, file));
                }
            }
            self.at += 1;
        }
        if self.at == first {
            return self.unexpected();
        }
        commands::check(&words)?;
        if !run {
            return Ok(());
        }
        let prefix = format!("{}: line {}", self.name, tokens[first].0);
        let words: Result<Vec<_>, _> =
            words.iter().map(|word| words::fields(word, &|name| self.value(name))).collect();
        let words = words?.concat();
        let mut inner = match self.redirect(&redirections, io)? {
            Ok(inner) => inner,
            Err((path, error)) => {
                io.complain(format!("{prefix}: {path}: {}\n", say(error))).await;
                self.last = 1;
                return Ok(());
            }
        };
        let before =
            (!words.is_empty() && !assignments.is_empty()).then(|| self.environment.clone());
        for (name, value) in assignments {
            let value = words::text(value, &|name| self.value(name))?;
            self.assign(name, value, before.is_some());
        }
        self.last = commands::run(self, &prefix, &words, &mut inner).await?;
        if redirections.iter().all(|(sign, _)| *sign != "<") {
            io.input = inner.input;
        }
        // What was set for the command alone is over with it.
        self.environment = before.unwrap_or_else(|| std::mem::take(&mut self.environment));
        Ok(())
    }

    /// Sets a variable: commands see it if they saw it before, or if it is set for one of them.
    fn assign(&mut self, name: &str, value: String, for_command: bool) {
        let held = self.variables.values().chain(self.environment.values()).map(String::len);
        // What does not fit stays as it was.
        if held.sum::<usize>() + value.len() <= MAX_HELD {
            let seen = for_command || self.environment.contains_key(name);
            let to = if seen { &mut self.environment } else { &mut self.variables };
            to.insert(name.to_owned(), value);
        }
    }

    fn value(&self, name: &str) -> String {
        if name == "?" {
            return self.last.to_string();
        }
        let value = self.environment.get(name).or_else(|| self.variables.get(name));
        value.cloned().unwrap_or_default()
    }

    /// A command's streams, or the file that could not be opened.
    fn redirect(
        &self,
        redirections: &[(&str, &str)],
        io: &mut Io,
    ) -> Result<Result<Io, (String, FileError)>, Stop> {
        let (mut input, mut output, mut errors) = (None, io.output.clone(), io.errors.clone());
        for (sign, word) in redirections {
            let path = words::text(word, &|name| self.value(name))?;
            match *sign {
                "2>&1" => errors = output.clone(),
                "1>&2" | ">&2" => output = errors.clone(),
                "<" => match commands::read(self, &path) {
                    Ok(content) => input = Some(Source::Held(content)),
                    Err(error) => return Ok(Err((path, error))),
                },
                sign => match self.open(&path, sign.ends_with(">>")) {
                    Ok(sink) if sign == "&>" => (output, errors) = (sink.clone(), sink),
                    Ok(sink) if sign.starts_with('2') => errors = sink,
                    Ok(sink) => output = sink,
                    Err(error) => return Ok(Err((path, error))),
                },
            }
        }
        let input = input.unwrap_or_else(|| std::mem::replace(&mut io.input, Source::empty()));
        Ok(Ok(Io { input, output, errors }))
    }

    fn open(&self, to: &str, append: bool) -> Result<Sink, FileError> {
        let path = match to {
            "/dev/null" => return Ok(Sink::Null),
            "" => return Err(FileError::NotFound),
            to => self.path(to),
        };
        if append {
            self.files.append(&path, b"", &self.user)?;
        } else {
            self.files.truncate(&path, &self.user)?;
        }
        Ok(Sink::File { files: self.files.clone(), path, user: self.user.clone() })
    }
}
