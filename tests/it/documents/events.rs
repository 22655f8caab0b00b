use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{read, root, table};

/// Crates without events for operators of a stack.
const OTHERS: &[&str] =
    &["sandtower-bench", "sandtower-load", "sandtower-sim", "sandtower-testkit", "xtask"];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    target: String,
    level: String,
    message: String,
    fields: String,
}

#[test]
fn every_event_is_in_the_table_with_its_fields_and_no_other() {
    let listed: BTreeSet<Event> =
        table(&read("docs/operations.md"), "## Events").into_iter().map(event).collect();
    let logged = logged();
    let missing: Vec<_> = logged.difference(&listed).collect();
    let invented: Vec<_> = listed.difference(&logged).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "missing: {missing:#?}\nnone: {invented:#?}"
    );
}

#[test]
fn the_lines_in_the_document_are_events_of_the_table() {
    let document = read("docs/operations.md");
    let listed: Vec<Event> = table(&document, "## Events").into_iter().map(event).collect();
    let (_, lines) = document.split_once("```json\n").unwrap();
    let (lines, _) = lines.split_once("```").unwrap();
    for line in lines.lines() {
        let line: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
        let is = |event: &&Event| {
            line["target"] == *event.target
                && line["level"] == *event.level
                && line["message"] == *event.message
        };
        let event = listed.iter().find(is).unwrap_or_else(|| panic!("{line:?}"));
        for name in line.keys() {
            let of_all = ["timestamp", "level", "message", "target"].contains(&name.as_str());
            assert!(of_all || event.fields.split(", ").any(|field| field == name), "{name}");
        }
    }
}

fn event(row: Vec<String>) -> Event {
    let [target, level, message, fields] = &row[..4] else { unreachable!() };
    let message = message.split('{').next().unwrap_or(message);
    let fields = sorted(fields.split(',').map(str::trim).filter(|field| !field.is_empty()));
    let (target, level) = (target.clone(), level.clone());
    Event { target, level, message: message.to_owned(), fields }
}

fn sorted<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    fields.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// The events in the sources of all crates.
fn logged() -> BTreeSet<Event> {
    let mut logged = BTreeSet::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let entry = entry.unwrap();
        if OTHERS.contains(&entry.file_name().to_str().unwrap()) {
            continue;
        }
        let source = sources(&entry.path().join("src"));
        for level in ["error", "warn", "info", "debug", "trace"] {
            for (at, call) in source.match_indices(&format!("{level}!(")) {
                let arguments = &source[at + call.len()..];
                if arguments.trim_start().starts_with("target: ") {
                    logged.insert(parsed(level, arguments, &source));
                }
            }
        }
    }
    assert!(logged.len() > 20, "{logged:#?}");
    logged
}

fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(path).unwrap();
        }
    }
    all
}

/// `target: TARGET, field, other = %value, "message")`.
fn parsed(level: &str, arguments: &str, source: &str) -> Event {
    let arguments = &arguments[..end(arguments)];
    let (before, message) =
        arguments.trim_end().trim_end_matches(',').trim_end_matches('"').rsplit_once('"').unwrap();
    let mut arguments = split(before).into_iter();
    let target = arguments.next().unwrap().trim_start_matches("target: ").to_owned();
    let target = match target.strip_prefix('"') {
        Some(literal) => literal.trim_end_matches('"').to_owned(),
        None => constant(source, &target),
    };
    let names: Vec<String> = arguments.map(|argument| field(&argument)).collect();
    let message = message.split('{').next().unwrap_or(message).replace('`', "");
    let fields = sorted(names.iter().map(String::as_str));
    Event { target, level: level.to_uppercase(), message, fields }
}

/// The position of the parenthesis that closes a call.
fn end(arguments: &str) -> usize {
    let mut depth = 0;
    let closes = |letter: char| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        depth < 0
    };
    arguments.find(closes).unwrap()
}

/// Splits at commas outside parentheses.
fn split(arguments: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for letter in arguments.chars() {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            letter => parts.last_mut().unwrap().push(letter),
        }
    }
    let parts = parts.into_iter().map(|part| part.trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

fn field(argument: &str) -> String {
    let name = argument.split('=').next().unwrap_or(argument);
    name.trim().trim_start_matches(['%', '?']).to_owned()
}

fn constant(source: &str, name: &str) -> String {
    let name = name.trim_start_matches("crate::");
    let (_, value) = source.split_once(&format!("const {name}: &str = \"")).unwrap();
    value.split('"').next().unwrap_or_default().to_owned()
}
