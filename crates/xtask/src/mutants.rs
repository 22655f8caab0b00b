//! `cargo xtask mutants`: how many small changes to the code the tests notice.
//!
//! cargo-mutants changes the code and runs the tests of the changed crate. By default that is done
//! with a sample: as many mutants of each crate, chosen by a seed.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{fmt, fs};

use crate::process::{self, Show};
use crate::tools;
use crate::workspace::Workspace;

const VERSION: &str = "27.1.0";

/// The crates whose engines decide something.
const CRATES: [&str; 5] = [
    "sandtower-core",
    "sandtower-retry",
    "sandtower-circuit-breaker",
    "sandtower-rate-limit",
    "sandtower-admission",
];

/// Of each crate, in a sample. A mutant takes 2 to 6 s on one core, and [`LONGEST`] if it hangs.
const SAMPLE: usize = 30;

/// How long the tests of a mutant may take, in seconds: several times what those of the slowest crate take.
const LONGEST: u32 = 60;

/// Tests of killed processes, broken files and many clients: they take longer than all others together,
/// and no engine is tested by them alone.
const SKIPPED: [&str; 3] = ["store::killed", "store::broken", "clients::"];

/// The options of the command line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// All mutants, not a sample.
    pub(crate) full: bool,
    /// Only in files that match one of these globs, if there are any.
    pub(crate) files: Vec<String>,
    /// How many mutants are tested at a time.
    pub(crate) jobs: u32,
    /// Chooses the sample: the same seed, the same mutants.
    pub(crate) seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { full: false, files: vec![], jobs: 2, seed: 1 }
    }
}

/// Tests the mutants and prints what became of them.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> ExitCode {
    match test(workspace, options) {
        Ok(tally) => {
            println!("\n{tally}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("cargo-mutants: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn test(workspace: &Workspace, options: &Options) -> Result<Tally, String> {
    let home = workspace.scratch("mutants");
    let program = tools::install(workspace, &home, "mutants", VERSION)?;
    let mut command = mutants(workspace, &program, options);
    let mut chosen = None;
    if !options.full {
        let listed = process::run(mutants(workspace, &program, options).arg("--list"), Show::Later)
            .map_err(|error| error.to_string())?;
        let names = listed.lines.iter().map(String::as_str).filter(|line| crate_of(line).is_some());
        let sample = sample(names, options.seed);
        if !listed.succeeded || sample.is_empty() {
            return Err(format!("there is nothing to change: {}", listed.last_words()));
        }
        println!("{} mutants, seed {}", sample.len(), options.seed);
        command.args(sample.iter().map(|name| format!("--re=^{}$", escaped(name))));
        chosen = Some(sample.into_iter().map(str::to_owned).collect::<HashSet<_>>());
    }
    command.arg("--output").arg(&home).arg(format!("--jobs={}", options.jobs));
    command.arg(format!("--timeout={LONGEST}")).env("PROPTEST_CASES", "32");
    // Doctests take longer than all other tests together.
    command.args(["--", "--lib", "--tests", "--"]);
    command.args(SKIPPED.iter().flat_map(|tests| ["--skip", tests]));
    let status = command.status().map_err(|error| error.to_string())?;
    // 2: some were missed; 3: some ran into the time limit.
    match status.code() {
        Some(0 | 2 | 3) => {
            let list = |list: &str| {
                fs::read_to_string(home.join("mutants.out").join(list)).unwrap_or_default()
            };
            // Fields that are deleted are tested whatever `--re` says:
            // https://github.com/sourcefrog/cargo-mutants/issues/632.
            let counts = |name: &str| chosen.as_ref().is_none_or(|chosen| chosen.contains(name));
            Ok(Tally::of(list, counts))
        }
        _ => Err(format!("it ended with {status}: do the tests pass without a change?")),
    }
}

fn mutants(workspace: &Workspace, program: &Path, options: &Options) -> Command {
    let mut command = workspace.command(program);
    // Each job builds in a copy of the workspace, and must not share a folder with the others.
    command.env_remove("CARGO_TARGET_DIR").args(["mutants", "--exclude=**/loom_tests.rs"]);
    command.args(["--exclude=**/store/**", "--exclude=**/store.rs"]);
    // `Debug` output is no interface; that it shows no secret is tested where there is one.
    command.arg("--exclude-re=impl (std::fmt::)?Debug");
    command.args(CRATES.iter().map(|name| format!("--package={name}")));
    command.args(options.files.iter().map(|glob| format!("--file={glob}")));
    command
}

/// Of each crate the same number of mutants, by a hash of what they change: the sample stays the same
/// when code moves.
fn sample<'a>(names: impl IntoIterator<Item = &'a str>, seed: u64) -> Vec<&'a str> {
    let mut by_crate = BTreeMap::<_, Vec<_>>::new();
    for name in names {
        by_crate.entry(crate_of(name)).or_default().push((hash(without_line(name), seed), name));
    }
    let mut sample = Vec::new();
    for (_, mut mutants) in by_crate {
        mutants.sort_unstable();
        sample.extend(mutants.into_iter().take(SAMPLE).map(|(_, name)| name));
    }
    sample
}

/// The crate in `crates/<crate>/src/file.rs:line:column: change`.
fn crate_of(name: &str) -> Option<&str> {
    name.strip_prefix("crates/")?.split('/').next()
}

fn without_line(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    let (file, change) = (parts.next(), parts.nth(2));
    format!("{}:{}", file.unwrap_or_default(), change.unwrap_or_default())
}

/// FNV-1a, with its finish mixed so that similar names lie far apart.
fn hash(text: String, seed: u64) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().chain(seed.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() * 2);
    for letter in name.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// What became of the mutants, by crate.
#[derive(Debug, Default)]
struct Tally {
    crates: BTreeMap<String, Counts>,
    survivors: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    caught: u32,
    /// Caught too: the tests did not end.
    timed_out: u32,
    missed: u32,
    /// It does not compile.
    unviable: u32,
}

impl Tally {
    /// Reads the lists of cargo-mutants: a mutant a line.
    fn of(list: impl Fn(&str) -> String, counts: impl Fn(&str) -> bool) -> Self {
        type Count = fn(&mut Counts) -> &mut u32;
        const LISTS: [(&str, Count); 4] = [
            ("caught.txt", |counts| &mut counts.caught),
            ("timeout.txt", |counts| &mut counts.timed_out),
            ("missed.txt", |counts| &mut counts.missed),
            ("unviable.txt", |counts| &mut counts.unviable),
        ];
        let mut tally = Self::default();
        for (name, count) in LISTS {
            for mutant in list(name).lines().filter(|mutant| counts(mutant)) {
                let Some(krate) = crate_of(mutant) else { continue };
                *count(tally.crates.entry(krate.to_owned()).or_default()) += 1;
            }
        }
        let missed = list("missed.txt");
        let survivors = missed.lines().filter(|mutant| counts(mutant));
        tally.survivors = survivors.map(str::to_owned).collect();
        tally.survivors.sort_unstable();
        tally
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28} caught (timed out)  missed  unviable  caught of viable", "crate")?;
        for (name, counts) in &self.crates {
            let Counts { caught, timed_out, missed, unviable } = counts;
            let (all, viable) = (caught + timed_out, caught + timed_out + missed);
            let share = f64::from(all) / f64::from(viable.max(1)) * 100.0;
            writeln!(
                f,
                "{name:<28} {all:>6} ({timed_out:>9})  {missed:>6}  {unviable:>8}  {share:>5.1} %"
            )?;
        }
        write!(f, "\n{} survivors", self.survivors.len())?;
        self.survivors.iter().try_for_each(|survivor| write!(f, "\n  {survivor}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(krate: &str, number: usize, line: usize) -> Vec<String> {
        let name =
            |n| format!("crates/{krate}/src/a.rs:{line}:{n}: replace f{n} -> Vec<()> with vec![]");
        (0..number).map(name).collect()
    }

    #[test]
    fn a_sample_has_as_many_of_each_crate_and_all_of_a_small_one() {
        let all: Vec<_> = [names("big", 500, 1), names("small", 7, 1)].concat();
        let sample = sample(all.iter().map(String::as_str), 1);
        let of = |krate| sample.iter().filter(|name| crate_of(name) == Some(krate)).count();
        assert_eq!((of("big"), of("small")), (SAMPLE, 7));
    }

    #[test]
    fn the_same_seed_chooses_the_same_mutants_though_their_lines_moved() {
        let chosen = |line, seed| {
            let all = names("big", 500, line);
            let sample = sample(all.iter().map(String::as_str), seed);
            sample.into_iter().map(without_line).collect::<Vec<_>>()
        };
        assert_eq!(chosen(1, 1), chosen(20, 1));
        assert_ne!(chosen(1, 1), chosen(1, 2));
    }

    #[test]
    fn a_name_is_escaped_as_a_regular_expression_wants_it() {
        assert_eq!(escaped("f -> Vec<()> with vec![]"), r"f \-> Vec<\(\)> with vec!\[\]");
    }

    #[test]
    fn the_tally_counts_by_crate_and_lists_what_survived() {
        let lists = |list: &str| {
            let name = |file: &str| format!("crates/{file}.rs:1:2: replace x with y\n");
            match list {
                "caught.txt" => name("one/src/a") + &name("one/src/b") + &name("two/src/a"),
                "timeout.txt" => name("one/src/c"),
                "missed.txt" => name("one/src/z") + &name("one/src/d"),
                _ => "not the name of a mutant\n".to_owned(),
            }
        };
        let tally = Tally::of(lists, |_| true);
        let one = Counts { caught: 2, timed_out: 1, missed: 2, unviable: 0 };
        assert_eq!(tally.crates["one"], one);
        let printed = tally.to_string();
        assert!(printed.contains(" 60.0 %"), "{printed}");
        assert!(printed.ends_with(
            "2 survivors\n  crates/one/src/d.rs:1:2: replace x with y\n  \
             crates/one/src/z.rs:1:2: replace x with y"
        ));
        let sampled = Tally::of(lists, |name| !name.contains("/z.rs"));
        assert_eq!(sampled.crates["one"], Counts { missed: 1, ..one });
        assert_eq!(sampled.survivors.len(), 1);
    }
}
