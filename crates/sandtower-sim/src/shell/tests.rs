use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{clock, runner::Chunk};

async fn bash(script: &str) -> (String, String, u8) {
    bash_with(script, Input::empty()).await
}

async fn bash_with(script: &str, input: Input) -> (String, String, u8) {
    let arguments = ["-l", "-c", script].map(String::from).to_vec();
    let environment = BTreeMap::from([(String::from("A"), String::from("1 2"))]);
    let command = Command {
        program: String::from("/bin/bash"),
        arguments,
        environment,
        directory: String::from("/tmp"),
        user: String::from("user"),
        pid: 7,
        ..Command::default()
    };
    collect(command, input).await
}

async fn collect(command: Command, input: Input) -> (String, String, u8) {
    let (output, mut chunks) = Output::new();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let reading = async {
        while let Some(chunk) = chunks.recv().await {
            match chunk {
                Chunk::Stdout(bytes) => stdout.extend(bytes),
                Chunk::Stderr(bytes) => stderr.extend(bytes),
            }
        }
    };
    let (Exit(code), ()) = tokio::join!(Shell.run(command, input, output), reading);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(stdout), text(stderr), code)
}

#[tokio::test]
async fn scripts_give_what_bash_gives() {
    let not_found = "/bin/bash: line 1: nope: command not found\n";
    for (script, stdout, stderr, code) in [
        ("echo hi", "hi\n", "", 0),
        ("echo -n hi", "hi", "", 0),
        ("echo", "\n", "", 0),
        (r#"echo 'a  b' "c  d" e   f"#, "a  b c  d e f\n", "", 0),
        (r#"echo "say \"hi\"" 'it'"'"'s' a\ b"#, "say \"hi\" it's a b\n", "", 0),
        ("echo a; echo b\necho c", "a\nb\nc\n", "", 0),
        ("echo err >&2; exit 3", "", "err\n", 3),
        ("echo x # not; this", "x\n", "", 0),
        ("true && echo yes", "yes\n", "", 0),
        ("false && echo no", "", "", 1),
        ("false || echo else; true", "else\n", "", 0),
        ("false && echo no || echo yes", "yes\n", "", 0),
        ("exit 3; echo no", "", "", 3),
        ("exit 256", "", "", 0),
        ("exit -1", "", "", 255),
        ("false; exit", "", "", 1),
        ("exit x", "", "/bin/bash: line 1: exit: x: numeric argument required\n", 2),
        ("nope --flag", "", not_found, 127),
        ("nope; echo on", "on\n", not_found, 0),
        ("", "", "", 0),
        ("  ;", "", "/bin/bash: -c: line 1: syntax error near unexpected token `;'\n", 2),
    ] {
        let expected = (stdout.to_owned(), stderr.to_owned(), code);
        assert_eq!(bash(script).await, expected, "{script}");
    }
}

#[tokio::test]
async fn variables_pipes_and_redirections_are_those_of_bash() {
    for (script, stdout) in [
        ("echo $A \"$A\" '$A' $NOPE. ${NOPE:-else}", "1 2 1 2 $A . else\n"),
        ("B=x; echo $B$B; B=y bash -c 'echo $B'; echo $B", "xx\ny\nx\n"),
        ("B=x; bash -c 'echo [$B]'; export B; bash -c 'echo [$B]'", "[]\n[x]\n"),
        ("false; echo $?; echo $?", "1\n0\n"),
        ("cd /; pwd; cd; pwd; cd /nope 2>/dev/null || pwd", "/\n/home/user\n/home/user\n"),
        ("echo a > f; echo b >> f; cat f; cat < f | wc -l", "a\nb\n2\n"),
        ("echo out; echo err >&2 2>/dev/null", "out\n"),
        ("printf '%s-%d\\n' a 1 b 2", "a-1\nb-2\n"),
        ("echo -e 'a\\tb'", "a\tb\n"),
        ("echo x | cat | cat - | wc -c", "2\n"),
        ("true | false; echo $?; exit 3 | true; echo on", "1\non\n"),
        (
            "mkdir -p d/e; touch d/e/f; ls d; ls d/e; rm -r d; ls d 2>/dev/null; echo $?",
            "e\nf\n2\n",
        ),
        ("echo x > f; mv f g; [ -f g ] && [ ! -e f ] && cat g", "x\n"),
        ("echo $0 $1 $#; bash -c 'echo $0 $1 $#' a b", "/bin/bash 0\na b 1\n"),
        ("echo 'echo inner' | bash; seq 3 | tee f | wc -l; cat f", "inner\n3\n1\n2\n3\n"),
        ("env C=3 printenv C; printenv NOPE || whoami", "3\nuser\n"),
        ("echo a \\\n b", "a b\n"),
    ] {
        let (found, stderr, _) = bash(script).await;
        assert_eq!(found, stdout, "{script}: {stderr}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_runs_nothing() {
    for script in [
        "echo a; echo 'b",
        "echo a; echo \"b",
        "echo a; ;",
        "echo a &&",
        "&& echo a",
        "echo a |",
        "| echo a",
        "echo a >",
        "echo $(pwd)",
        "echo `pwd`",
        "echo a; (echo a)",
        "cat << END",
    ] {
        let (stdout, stderr, code) = bash(script).await;
        assert_eq!((stdout.as_str(), code), ("", 2), "{script}");
        assert!(stderr.starts_with("/bin/bash: -c: line 1: "), "{script}: {stderr}");
    }
}

#[tokio::test(start_paused = true)]
async fn sleep_takes_its_time_on_the_clock() {
    let start = clock::now();
    assert_eq!(bash("sleep 1.5 && sleep 2m; echo up").await.0, "up\n");
    assert_eq!(start.elapsed(), Duration::from_millis(121_500));
    let (_, stderr, code) = bash("sleep soon").await;
    assert_eq!((stderr.as_str(), code), ("sleep: invalid time interval ‘soon’\n", 1));
    assert_eq!(bash("sleep").await.1, "sleep: missing operand\n");
    assert_eq!(bash("sleep -1").await.2, 1);
}

#[tokio::test(start_paused = true)]
async fn what_runs_in_the_background_keeps_the_output_open_unless_it_goes_elsewhere() {
    let start = clock::now();
    assert_eq!(bash("sleep 5 && echo late & echo first").await.0, "first\nlate\n");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    let start = clock::now();
    assert_eq!(bash("sleep 50 > /dev/null 2>&1 & echo first").await.0, "first\n");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let start = clock::now();
    assert_eq!(bash("sleep 3 > /dev/null 2>&1 & wait; echo waited").await.0, "waited\n");
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    // The stages of a pipe run at once.
    let start = clock::now();
    bash("sleep 2 | sleep 2 | sleep 2").await;
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn cat_gives_back_what_it_is_given() {
    let (sender, input) = Input::pipe();
    tokio::spawn(async move {
        for line in ["a\n", "b\n"] {
            sender.send(line.into()).await.unwrap();
        }
    });
    assert_eq!(bash_with("cat; echo end", input).await.0, "a\nb\nend\n");
}

#[tokio::test]
async fn a_program_needs_no_shell() {
    let command = |program: &str| Command {
        program: program.to_owned(),
        arguments: vec![String::from("a;b")],
        ..Command::default()
    };
    assert_eq!(collect(command("/bin/echo"), Input::empty()).await.0, "a;b\n");
    let complaint = "/usr/bin/nice: '/no/such/bin': No such file or directory\n";
    let expected = (String::new(), complaint.to_owned(), 127);
    assert_eq!(collect(command("/no/such/bin"), Input::empty()).await, expected);
    assert_eq!(collect(command(""), Input::empty()).await.2, 127);
    assert_eq!(collect(command("cd"), Input::empty()).await.2, 127);
}

#[tokio::test]
async fn nothing_grows_without_bound() {
    let doubling = "B=0123456789; ".to_owned() + &"B=$B$B; ".repeat(40) + "echo $B | wc -c";
    let (counted, _, _) = bash(&doubling).await;
    assert!(counted.trim().parse::<usize>().unwrap() <= variables::MAX_VARIABLES, "{counted}");
    let (_, stderr, _) = bash("export R='bash -c \"$R\"'; bash -c \"$R\"").await;
    assert!(stderr.contains("Resource temporarily unavailable"), "{stderr}");
    let (_, stderr, _) = bash(&"sleep 0.01 & ".repeat(100)).await;
    assert!(stderr.contains("Resource temporarily unavailable"), "{stderr}");
    let (_, stderr, _) = bash("seq 3000000 > f; echo $?").await;
    assert!(stderr.contains("No space left on device"), "{stderr}");
}

proptest! {
    #[test]
    fn nothing_makes_the_reader_panic(
        script in "(echo|cat|\\$A|\\$\\{|\\}|'|\"|\\\\|[|&;<>()#= \n]|2>|>>|&>|[a-z]|\\PC){0,40}",
    ) {
        if let Ok(script) = Script::parse(&script) {
            prop_assert!(script.steps.iter().all(|step| !step.commands.is_empty()));
        }
    }
}
