//! The words of the project, in documents, comments, strings and names of tests.
//!
//! One word for one thing, and those of the field. Each phrase of the table has something to say
//! instead; each folder has an allowance of phrases left, which only gets smaller.

mod prose;

use std::collections::BTreeMap;
use std::fs;

use self::prose::Prose;
use super::structure::{files_under_git, root};

/// What to say instead of which phrases. `*` stands for any end of a word; `^` for the beginning of a
/// sentence or a clause that is no question.
const PHRASES: &[(&str, &[&str])] = &[
    ("no ..., every ..., or the actor: a caller, a task", &["nobody*", "everybody*", "somebody*"]),
    ("the actor: a caller that ...", &["^ who"]),
    ("response classifier", &["judge*"]),
    ("request info", &["what it asks", "what is asked", "asked for what"]),
    ("not ready", &["unready"]),
    ("rejection, rejected", &["refus*"]),
    ("completion", &["settlement*", "settle", "settles", "settled"]),
    ("end of stream", &["teller*"]),
    ("queue, queued", &["in line", "stands in line", "waiting line", "stand in line"]),
    ("admission control", &["waiting room*", "the room", "a room", "rooms"]),
    ("queue per operation", &["lane", "lanes"]),
    ("shut down, drain", &["wind* down", "last out"]),
    ("subscriber", &["watcher*"]),
    ("server limit estimate", &["shadow*"]),
    ("retries exhausted", &["gave up", "given up on"]),
    ("preset `classic`", &["preset original", "original preset"]),
    ("fault, fault plan", &["weather*", "befall*", "mishap*"]),
    ("response, responds", &["answer*"]),
    (
        "create, return, recreate",
        &["handed out", "hand out", "hands out", "made anew", "make anew"],
    ),
    ("recovers, healthy, unhealthy", &["get* well", "got well", "unwell", "well again"]),
    ("timeout", &["time-out*"]),
    ("zero", &["nought*"]),
    ("forever", &["for ever"]),
    ("by default", &["unless told", "unless it is told"]),
    ("is invalid, and what would be valid", &["make* no sense", "made no sense"]),
    ("is logged, is notified, is reported", &["told", "is no json"]),
    ("checks, monitors", &["look* after"]),
];

/// Where such a phrase is the right one: shadow mode, and the setting of that name.
const RIGHT: &[&str] = &["shadow mode", "shadow true", "shadow false"];

/// How many phrases are left, by folder. A folder that is not here has none.
///
/// Right are those of `crates/sandtower-sim`, `docs`, `tests`, `examples`, `-http` and `-e2b`: watchers are an
/// API of E2B, "connection refused" is the text of the system, and `refuse` a kind of fault.
const ALLOWED: &[(&str, usize)] = &[
    ("crates/sandtower-e2b", 1),
    ("crates/sandtower-http", 2),
    ("crates/sandtower-sim", 36),
    ("docs", 3),
    ("examples", 2),
    ("tests", 2),
];

/// How far an allowance may be above what is left, so that small changes need no new number.
fn slack(left: usize) -> usize {
    (left / 10).max(20)
}

#[test]
fn phrases_that_have_a_better_word_only_get_fewer() {
    let root = root();
    let hits: Vec<_> = files_under_git(&root)
        .into_iter()
        .filter(|file| !file.starts_with("tests/it/words"))
        .flat_map(|file| {
            let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
            hits(&file, &text)
        })
        .collect();
    let violations = violations(&hits, ALLOWED);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// A phrase that was found.
#[derive(Clone, Debug, PartialEq)]
struct Hit {
    file: String,
    line: usize,
    phrase: &'static str,
    instead: &'static str,
}

fn violations(hits: &[Hit], allowed: &[(&str, usize)]) -> Vec<String> {
    let mut by_folder = BTreeMap::<_, Vec<_>>::new();
    for (folder, _) in allowed {
        by_folder.insert(*folder, Vec::new());
    }
    for hit in hits {
        by_folder.entry(folder(&hit.file)).or_default().push(hit);
    }
    let violation = |(name, hits): (&str, Vec<&Hit>)| {
        let allowed = allowed.iter().find(|(folder, _)| *folder == name).map_or(0, |(_, n)| *n);
        let left = hits.len();
        if left > allowed {
            let listed = listed(&hits);
            Some(format!("`{name}` has {left} phrases, {allowed} are allowed:\n{listed}"))
        } else if allowed > left + slack(left) {
            Some(format!("`{name}` has become better: allow (\"{name}\", {left}), not {allowed}"))
        } else {
            None
        }
    };
    by_folder.into_iter().filter_map(violation).collect()
}

/// The hits of each file, and the first ones in full.
fn listed(hits: &[&Hit]) -> String {
    const IN_FULL: usize = 20;
    let mut files = BTreeMap::<_, usize>::new();
    for hit in hits {
        *files.entry(hit.file.as_str()).or_default() += 1;
    }
    let files = files.into_iter().map(|(file, number)| format!("  {file}: {number}"));
    let first = hits.iter().take(IN_FULL).map(|hit| {
        let Hit { file, line, phrase, instead } = hit;
        format!("  {file}:{line}: \"{phrase}\": say {instead}")
    });
    files.chain(first).collect::<Vec<_>>().join("\n")
}

/// `crates/<name>`, or the first folder; `.` for files at the root.
fn folder(file: &str) -> &str {
    let depth = if file.starts_with("crates/") { 2 } else { 1 };
    match file.match_indices('/').nth(depth - 1) {
        Some((end, _)) => &file[..end],
        None => ".",
    }
}

fn hits(file: &str, text: &str) -> Vec<Hit> {
    let texts = match file.rsplit_once('.').map(|(_, kind)| kind) {
        Some("md") => prose::of_markdown(text),
        Some("rs") => prose::of_rust(text),
        Some("toml") => prose::of_manifest(text),
        _ => Vec::new(),
    };
    texts.iter().flat_map(|prose| hits_in(file, prose)).collect()
}

fn hits_in(file: &str, prose: &Prose) -> Vec<Hit> {
    let words = words(prose);
    let mut hits = Vec::new();
    for &(instead, phrases) in PHRASES {
        for &phrase in phrases {
            let at = (0..words.len()).filter(|at| begins_at(phrase, &words, *at));
            let at = at.filter(|at| !is_right(&words, *at));
            hits.extend(at.map(|at| Hit {
                file: file.to_owned(),
                line: words[at].line,
                phrase,
                instead,
            }));
        }
    }
    hits
}

fn is_right(words: &[Word], at: usize) -> bool {
    let is_name = words.len() == 1 && words[at].text == "shadow";
    is_name || RIGHT.iter().any(|phrase| begins_at(phrase, words, at))
}

#[derive(Debug)]
struct Word {
    text: String,
    line: usize,
    /// Whether it begins a sentence or a clause.
    begins: bool,
    /// Whether the sentence that it stands in ends with a question mark.
    in_question: bool,
}

fn words(prose: &Prose) -> Vec<Word> {
    let (mut words, mut line, mut begins) = (Vec::<Word>::new(), prose.line, true);
    let mut sentence = 0;
    let mut word = String::new();
    for letter in prose.text.chars().chain(['\n']) {
        if letter.is_alphanumeric() || "_-".contains(letter) {
            word.extend(letter.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            let text = std::mem::take(&mut word);
            words.push(Word { text, line, begins, in_question: false });
            begins = false;
        }
        begins |= ".!?;:,|(\u{2014}".contains(letter);
        if ".!?".contains(letter) {
            words[sentence..].iter_mut().for_each(|word| word.in_question = letter == '?');
            sentence = words.len();
        }
        line += usize::from(letter == '\n');
    }
    words
}

fn begins_at(phrase: &str, words: &[Word], at: usize) -> bool {
    let (at_beginning, phrase) = match phrase.strip_prefix("^ ") {
        Some(phrase) => (true, phrase),
        None => (false, phrase),
    };
    let first = &words[at];
    if at_beginning && (!first.begins || first.in_question) {
        return false;
    }
    let mut words = words[at..].iter();
    phrase.split(' ').all(|wanted| {
        words.next().is_some_and(|word| match wanted.strip_suffix('*') {
            Some(stem) => word.text.starts_with(stem),
            None => word.text == wanted,
        })
    })
}

mod planted {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<(usize, &'static str)> {
        hits(file, text).into_iter().map(|hit| (hit.line, hit.phrase)).collect()
    }

    #[test]
    fn phrases_are_found_in_documents_comments_strings_and_names_of_tests() {
        assert_eq!(
            found("a.md", "Fine.\nIt waits for\never, unless told."),
            [(2, "for ever"), (3, "unless told"), (3, "told"),]
        );
        let code = "/// A refusal\nfn refused() {\n    f(\"time-outs\");\n}\n#[test]\nfn nobody_waits() {}";
        assert_eq!(found("a.rs", code), [(1, "refus*"), (3, "time-out*"), (6, "nobody*")]);
        assert_eq!(
            found("a/Cargo.toml", "name = \"nobody\"\ndescription = \"Answers\""),
            [(2, "answer*")]
        );
    }

    #[test]
    fn a_clause_without_an_actor_is_found_and_a_question_is_not() {
        assert_eq!(
            found("a.md", "Who waits holds nothing. If so, who waits is woken."),
            [(1, "^ who"), (1, "^ who"),]
        );
        assert_eq!(found("a.md", "Who goes next? A caller who waits, and whoever comes."), []);
    }

    #[test]
    fn shadow_mode_and_the_name_of_its_setting_are_right_and_other_shadows_are_not() {
        let right = "// In shadow mode. See `shadow`.\nf(\"shadow = true\", \"shadow\");";
        assert_eq!(found("a.rs", right), []);
        let wrong = "// In the shadow.\nf(\"shadows\", \"a shadow\");";
        assert_eq!(found("a.rs", wrong), [(1, "shadow*"), (2, "shadow*"), (2, "shadow*")]);
    }

    #[test]
    fn a_phrase_may_go_over_a_line_of_a_comment() {
        assert_eq!(found("a.rs", "// It waits for\n    // ever.\nfn f() {}"), [(1, "for ever")]);
    }

    fn two_hits() -> Vec<Hit> {
        hits("crates/one/src/a.rs", "// Nobody.\n// Nobody.")
    }

    #[test]
    fn more_than_allowed_is_listed_by_file_and_line() {
        assert_eq!(violations(&two_hits(), &[("crates/one", 2)]), Vec::<String>::new());
        for allowed in [&[("crates/one", 1)][..], &[]] {
            let told = violations(&two_hits(), allowed).join("\n");
            assert!(told.contains("`crates/one` has 2 phrases"), "{told}");
            assert!(told.contains("  crates/one/src/a.rs: 2\n"), "{told}");
            assert!(told.contains("  crates/one/src/a.rs:2: \"nobody*\": say no ..."), "{told}");
        }
    }

    #[test]
    fn an_allowance_far_above_what_is_left_has_to_come_down() {
        assert_eq!(violations(&two_hits(), &[("crates/one", 22)]), Vec::<String>::new());
        assert_eq!(
            violations(&two_hits(), &[("crates/one", 23)]),
            ["`crates/one` has become better: allow (\"crates/one\", 2), not 23"]
        );
        assert_eq!(violations(&[], &[("crates/gone", 21)]).len(), 1);
    }

    #[test]
    fn a_file_counts_for_its_crate_or_its_first_folder() {
        for (file, expected) in [
            ("crates/one/src/a.rs", "crates/one"),
            ("docs/decisions/0001.md", "docs"),
            ("README.md", "."),
        ] {
            assert_eq!(folder(file), expected);
        }
    }
}
