//! The commands that work on files.

use bytes::Bytes;

use super::{Session, builtin::printed, io::Io, say};
use crate::{
    files::{Entry, FileError, Kind},
    runner::Exit,
};

/// The most that a command holds of what it reads.
pub(super) const MAX_HELD: usize = 1024 * 1024;

pub(super) async fn cat(session: &Session, paths: &[String], io: &mut Io) -> Exit {
    let mut all = true;
    let input = [String::from("-")];
    for path in if paths.is_empty() { &input } else { paths } {
        if path == "-" {
            while let Some(bytes) = io.input.read().await {
                if !io.print("cat", bytes).await {
                    return Exit(1);
                }
            }
            continue;
        }
        match read(session, path) {
            Ok(content) => all &= io.print("cat", content).await,
            Err(error) => {
                io.complain(format!("cat: {path}: {}\n", say(error))).await;
                all = false;
            }
        }
    }
    printed(all)
}

pub(super) async fn tee(session: &Session, arguments: &[String], io: &mut Io) -> Exit {
    let append = arguments.first().is_some_and(|flag| flag == "-a");
    let paths = if append { &arguments[1..] } else { arguments };
    let mut all = true;
    if !append {
        for path in paths {
            all &= session.files.truncate(&session.path(path), &session.user).is_ok();
        }
    }
    while let Some(bytes) = io.input.read().await {
        for path in paths {
            let path = session.path(path);
            if let Err(error) = session.files.append(&path, &bytes, &session.user) {
                io.complain(format!("tee: {path}: {}\n", say(error))).await;
                all = false;
            }
        }
        all &= io.print("tee", bytes).await;
    }
    printed(all)
}

pub(super) async fn wc(session: &Session, arguments: &[String], io: &mut Io) -> Exit {
    let (flags, paths): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| argument.starts_with('-') && argument.len() > 1);
    let mut counts = Counts::default();
    match paths.first() {
        Some(path) => match read(session, path) {
            Ok(content) => counts.add(&content),
            Err(error) => {
                io.complain(format!("wc: {path}: {}\n", say(error))).await;
                return Exit(1);
            }
        },
        None => {
            while let Some(bytes) = io.input.read().await {
                counts.add(&bytes);
            }
        }
    }
    let asked: String = flags.iter().map(|flag| &flag[1..]).collect();
    let shown: Vec<String> = [('l', counts.lines), ('w', counts.words), ('c', counts.bytes)]
        .into_iter()
        .filter(|(flag, _)| asked.is_empty() || asked.contains(*flag))
        .map(|(_, count)| count.to_string())
        .chain(paths.first().map(|path| (*path).clone()))
        .collect();
    printed(io.print("wc", shown.join(" ") + "\n").await)
}

#[derive(Debug, Default)]
struct Counts {
    lines: usize,
    words: usize,
    bytes: usize,
    in_word: bool,
}

impl Counts {
    fn add(&mut self, content: &[u8]) {
        self.bytes += content.len();
        for byte in content {
            self.lines += usize::from(*byte == b'\n');
            let blank = byte.is_ascii_whitespace();
            self.words += usize::from(!blank && !self.in_word);
            self.in_word = !blank;
        }
    }
}

pub(super) async fn ls(session: &Session, arguments: &[String], io: &Io) -> Exit {
    let (flags, mut paths): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with('-') && argument.len() > 1);
    let has = |flag: char| flags.iter().any(|flags| flags.contains(flag));
    let here = String::from(".");
    if paths.is_empty() {
        paths.push(&here);
    }
    let (mut all, several) = (true, paths.len() > 1);
    for path in paths {
        let entries = match entries(session, path) {
            Ok(entries) => entries,
            Err(error) => {
                let why = say(error);
                io.complain(format!("ls: cannot access '{path}': {why}\n")).await;
                all = false;
                continue;
            }
        };
        let mut text = if several { format!("{path}:\n") } else { String::new() };
        for (name, entry) in entries {
            if name.starts_with('.') && !has('a') && !has('A') {
                continue;
            }
            if has('l') {
                let Entry { owner, size, .. } = &entry;
                text += &format!("{} 1 {owner} {owner} {size} {name}\n", entry.permissions());
            } else {
                text += &format!("{name}\n");
            }
        }
        all &= io.print("ls", text).await;
    }
    if all { Exit(0) } else { Exit(2) }
}

fn entries(session: &Session, path: &str) -> Result<Vec<(String, Entry)>, FileError> {
    let entry = session.files.entry(&session.path(path))?;
    if entry.kind == Kind::File {
        return Ok(vec![(path.to_owned(), entry)]);
    }
    let entries = session.files.list(&entry.path, 1)?;
    Ok(entries.into_iter().map(|entry| (entry.name().to_owned(), entry)).collect())
}

pub(super) async fn mkdir(session: &Session, arguments: &[String], io: &Io) -> Exit {
    let (flags, paths): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| argument.starts_with('-'));
    let parents = flags.iter().any(|flag| flag.contains('p'));
    let mut all = true;
    for path in paths {
        let full = session.path(path);
        let lies_in = full.rsplit_once('/').map_or("/", |(above, _)| above);
        let made = if !parents && !session.files.is_directory(lies_in) {
            Err(FileError::NotFound)
        } else {
            session.files.make_directory(&full, &session.user)
        };
        match made {
            Err(FileError::Exists) if parents && session.files.is_directory(&full) => {}
            Ok(()) => {}
            Err(error) => {
                let why = say(error);
                io.complain(format!("mkdir: cannot create directory ‘{path}’: {why}\n")).await;
                all = false;
            }
        }
    }
    printed(all)
}

pub(super) async fn rm(session: &Session, arguments: &[String], io: &Io) -> Exit {
    let (flags, paths): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| argument.starts_with('-'));
    let has = |flag: char| flags.iter().any(|flags| flags.contains(flag));
    let (recursive, force) = (has('r') || has('R'), has('f'));
    let mut all = true;
    for path in paths {
        let full = session.path(path);
        let removed = if session.files.is_directory(&full) && !recursive {
            Err(FileError::IsDirectory)
        } else {
            session.files.remove(&full)
        };
        match removed {
            Err(FileError::NotFound) if force => {}
            Ok(()) => {}
            Err(error) => {
                io.complain(format!("rm: cannot remove '{path}': {}\n", say(error))).await;
                all = false;
            }
        }
    }
    printed(all)
}

pub(super) async fn touch(session: &Session, paths: &[String], io: &Io) -> Exit {
    let mut all = true;
    for path in paths {
        let full = session.path(path);
        if session.files.is_directory(&full) {
            continue;
        }
        if let Err(error) = session.files.append(&full, b"", &session.user) {
            io.complain(format!("touch: cannot touch '{path}': {}\n", say(error))).await;
            all = false;
        }
    }
    printed(all)
}

/// `chmod`, of modes in figures.
pub(super) async fn chmod(session: &Session, arguments: &[String], io: &Io) -> Exit {
    let Some((mode, paths)) = arguments.split_first() else {
        io.complain("chmod: missing operand\n").await;
        return Exit(1);
    };
    let Ok(bits) = u32::from_str_radix(mode, 8) else {
        io.complain(format!("chmod: invalid mode: ‘{mode}’\n")).await;
        return Exit(1);
    };
    let mut all = true;
    for path in paths {
        if let Err(error) = session.files.set_mode(&session.path(path), bits) {
            io.complain(format!("chmod: cannot access '{path}': {}\n", say(error))).await;
            all = false;
        }
    }
    printed(all)
}

/// `mv` and `cp`, of one file to another place or into a directory.
pub(super) async fn copy(session: &Session, name: &str, arguments: &[String], io: &Io) -> Exit {
    let paths: Vec<&String> =
        arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let &[from, to] = paths.as_slice() else {
        io.complain(format!("{name}: the simulator knows `{name} FROM TO'\n")).await;
        return Exit(1);
    };
    let (source, mut target) = (session.path(from), session.path(to));
    if session.files.is_directory(&target) {
        let base = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        target = format!("{target}/{base}");
    }
    let done = if name == "mv" {
        session.files.rename(&source, &target, &session.user)
    } else {
        let content = session.files.read(&source);
        content.and_then(|content| session.files.write(&target, content, &session.user))
    };
    match done {
        Ok(()) => Exit(0),
        Err(error) => {
            io.complain(format!("{name}: cannot {name} '{from}' to '{to}': {}\n", say(error)))
                .await;
            Exit(1)
        }
    }
}

fn read(session: &Session, path: &str) -> Result<Bytes, FileError> {
    if path == "/dev/null" {
        return Ok(Bytes::new());
    }
    session.files.read(&session.path(path))
}
