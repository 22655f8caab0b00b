//! What people read in a file: its comments, its strings and the names of its tests, but no code.

use std::iter::Peekable;
use std::str::CharIndices;

/// A piece of text, and the line on which it begins.
#[derive(Debug, PartialEq)]
pub(super) struct Prose {
    pub(super) line: usize,
    pub(super) text: String,
}

/// All of a document but its code blocks, its code spans and the targets of its links.
pub(super) fn of_markdown(text: &str) -> Vec<Prose> {
    vec![Prose { line: 1, text: without_code(text) }]
}

/// The descriptions in a manifest.
pub(super) fn of_manifest(text: &str) -> Vec<Prose> {
    let described = text.lines().enumerate().filter(|(_, line)| line.starts_with("description"));
    described.map(|(index, line)| Prose { line: index + 1, text: line.to_owned() }).collect()
}

/// Comments, strings and names of tests.
pub(super) fn of_rust(text: &str) -> Vec<Prose> {
    let mut scan =
        Scan { text, letters: text.char_indices().peekable(), line: 1, found: Vec::new() };
    scan.run();
    for prose in &mut scan.found {
        prose.text = without_code(&prose.text);
    }
    scan.found.extend(names_of_tests(text));
    scan.found
}

fn names_of_tests(text: &str) -> Vec<Prose> {
    let (mut names, mut is_test) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("test(");
        } else if let Some((_, name)) = line.split_once("fn ") {
            if is_test {
                let name = name.split(['(', '<']).next().unwrap_or(name);
                names.push(Prose { line: index + 1, text: name.replace('_', " ") });
            }
            is_test = false;
        }
    }
    names
}

/// Blanks out code, so that lines stay where they are.
fn without_code(text: &str) -> String {
    let (mut out, mut fenced) = (String::with_capacity(text.len()), false);
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            out.push('\n');
        } else if fenced {
            out.push('\n');
        } else {
            out.push_str(line);
        }
    }
    // By paragraph: a mark without its partner spoils no more than that.
    let paragraphs = out.split_inclusive("\n\n");
    paragraphs.map(|text| blank(&blank(text, "`", "`"), "](", ")")).collect()
}

fn blank(text: &str, open: &str, close: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(open) {
        let Some((code, next)) = after.split_once(close) else { break };
        out.push_str(before);
        // Stands for a noun, so that what is around it does not become one phrase.
        out.push_str(" _ ");
        out.extend(code.chars().filter(|letter| *letter == '\n'));
        rest = next;
    }
    out + rest
}

struct Scan<'a> {
    text: &'a str,
    letters: Peekable<CharIndices<'a>>,
    line: usize,
    found: Vec<Prose>,
}

impl Scan<'_> {
    fn run(&mut self) {
        // Whether nothing but white space came since a comment: the next line goes on with it.
        let mut in_comment = false;
        while let Some((at, letter)) = self.next() {
            match letter {
                '/' if self.rest(at).starts_with("//") => {
                    self.comment(in_comment);
                    in_comment = true;
                    continue;
                }
                '/' if self.rest(at).starts_with("/*") => self.until(at, "*/"),
                '"' => self.string(),
                'r' if self.begins_raw(at) => self.raw(at),
                '\'' => self.letter(at),
                _ if letter.is_whitespace() => continue,
                _ => {}
            }
            in_comment = false;
        }
    }

    fn next(&mut self) -> Option<(usize, char)> {
        let next = self.letters.next()?;
        self.line += usize::from(next.1 == '\n');
        Some(next)
    }

    fn rest(&self, at: usize) -> &str {
        &self.text[at..]
    }

    fn comment(&mut self, goes_on: bool) {
        let line = self.line;
        let mut text = String::new();
        while let Some((_, letter)) = self.next() {
            text.push(letter);
            if letter == '\n' {
                break;
            }
        }
        let text = text.trim_start_matches(['/', '!']);
        match self.found.last_mut() {
            Some(last) if goes_on => last.text.push_str(text),
            _ => self.found.push(Prose { line, text: text.to_owned() }),
        }
    }

    fn until(&mut self, at: usize, end: &str) {
        let line = self.line;
        let length = self.rest(at).find(end).map_or(self.rest(at).len(), |found| found + end.len());
        let text = self.rest(at)[..length].to_owned();
        while self.letters.peek().is_some_and(|(next, _)| *next < at + length) {
            self.next();
        }
        self.found.push(Prose { line, text });
    }

    fn string(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while let Some((_, letter)) = self.next() {
            match letter {
                '"' => break,
                '\\' => text.extend(self.next().map(
                    |(_, escaped)| {
                        if escaped == '\n' { '\n' } else { ' ' }
                    },
                )),
                letter => text.push(letter),
            }
        }
        self.found.push(Prose { line, text });
    }

    fn begins_raw(&self, at: usize) -> bool {
        let is_a_word = self.text[..at].ends_with(|c: char| c.is_alphanumeric() && c != 'b');
        let marks = self.rest(at)[1..].trim_start_matches('#');
        !is_a_word && marks.starts_with('"') && !self.text[..at].ends_with('_')
    }

    fn raw(&mut self, at: usize) {
        let marks = self.rest(at)[1..].chars().take_while(|letter| *letter == '#').count();
        for _ in 0..=marks {
            self.next();
        }
        let end = format!("\"{}", "#".repeat(marks));
        self.until(at + marks + 2, &end);
    }

    /// A letter in quotes, or a lifetime.
    fn letter(&mut self, at: usize) {
        let mut after = self.rest(at).chars().skip(1);
        match (after.next(), after.next()) {
            (Some('\\'), _) => {
                self.next();
                self.next();
                while self.next().is_some_and(|(_, letter)| letter != '\'') {}
            }
            (Some(_), Some('\'')) => {
                self.next();
                self.next();
            }
            _ => {}
        }
    }
}

mod planted {
    use super::*;

    fn rust(text: &str) -> Vec<(usize, String)> {
        let found = of_rust(text).into_iter();
        found.map(|prose| (prose.line, prose.text.trim().to_owned())).collect()
    }

    #[test]
    fn comments_on_lines_one_after_another_are_one_text() {
        let found = rust("/// One who\n    /// waits.\nfn f() {} // Two.\n/* Three. */");
        assert_eq!(found[0], (1, "One who\n waits.".to_owned()));
        assert_eq!(found[1], (3, "Two.".to_owned()));
        assert_eq!(found[2].0, 4);
    }

    #[test]
    fn strings_are_text_and_letters_are_not() {
        let found = rust(
            "let a = \"one \\\"two\\\" // three\";\nlet b = '\"';\nlet c: &'a str = r#\"fo\"ur\"#; '\\''",
        );
        let texts: Vec<_> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(texts, [(1, "one  two  // three"), (3, "fo\"ur\"#")]);
    }

    #[test]
    fn code_is_no_text() {
        let code =
            "fn nobody() { somebody(); }\n/// ```\n/// nobody();\n/// ```\n/// See `nobody`.";
        assert!(rust(code).iter().all(|(_, text)| !text.contains("body")), "{:?}", rust(code));
        let document = of_markdown("[a](nobody.md) `nobody`\n```rust\nnobody\n```\nend");
        assert_eq!(document[0].text, "[a _   _ \n\n\n\nend");
    }

    #[test]
    fn names_of_tests_are_text_and_those_of_other_functions_are_not() {
        let found = rust(
            "#[test]\nfn nobody_waits() {}\nfn helper() {}\n#[tokio::test(start_paused = true)]\n\
             async fn all_is_well() {}",
        );
        assert_eq!(found, [(2, "nobody waits".to_owned()), (5, "all is well".to_owned())]);
    }
}
