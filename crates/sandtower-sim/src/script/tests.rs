use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::runner::{Cell, Events, Exception, Input, Output};

fn command(program: &str, arguments: &[&str]) -> Command {
    Command {
        program: program.to_owned(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        environment: BTreeMap::from([(String::from("A"), String::from("1 2"))]),
        directory: String::from("/tmp"),
        user: String::from("user"),
        pid: 7,
        ..Command::default()
    }
}

async fn bash(script: &str) -> (String, String, u8) {
    collect(command("/bin/bash", &["-l", "-c", script]), Input::empty()).await
}

async fn collect(command: Command, input: Input) -> (String, String, u8) {
    let (output, mut chunks) = Output::new();
    let (_events, events) = Events::new();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let reading = async {
        while let Some(chunk) = chunks.recv().await {
            let to = if chunk.stream == "stdout" { &mut stdout } else { &mut stderr };
            to.extend(chunk.bytes);
        }
    };
    let io = runner::Io { input, output, events };
    let (exit, ()) = tokio::join!(ScriptedRunner.run(command, io), reading);
    let Exit::Code(code) = exit else { panic!("a signal") };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(stdout), text(stderr), code)
}

#[tokio::test]
async fn scripts_give_what_bash_gives() {
    for (script, stdout, stderr, code) in [
        ("echo hi", "hi\n", "", 0),
        ("echo -n hi", "hi", "", 0),
        ("echo", "\n", "", 0),
        (r#"echo 'a  b' "c  d" e   f"#, "a  b c  d e f\n", "", 0),
        (r#"echo "say \"hi\"" 'it'"'"'s' a\ b \$A"#, "say \"hi\" it's a b $A\n", "", 0),
        ("echo a; echo b\necho c\n\n# d\necho e # f", "a\nb\nc\ne\n", "", 0),
        ("echo err >&2; exit 3", "", "err\n", 3),
        ("true && echo yes", "yes\n", "", 0),
        ("false && echo no", "", "", 1),
        ("false || echo else; true", "else\n", "", 0),
        ("false && echo no || echo yes", "yes\n", "", 0),
        ("exit 3; echo no", "", "", 3),
        ("exit 256", "", "", 0),
        ("exit -1", "", "", 255),
        ("false; exit", "", "", 1),
        ("", "", "", 0),
    ] {
        let expected = (stdout.to_owned(), stderr.to_owned(), code);
        assert_eq!(bash(script).await, expected, "{script}");
    }
}

#[tokio::test]
async fn variables_pipes_and_redirections_are_those_of_bash() {
    for (script, stdout) in [
        ("echo $A \"$A\" '$A' $NOPE. ${A}x", "1 2 1 2 $A . 1 2x\n"),
        ("B=x; echo $B$B; B=y env | wc -l; echo $B; echo B=$B", "xx\n2\nx\nB=x\n"),
        ("false; echo $?; echo $?", "1\n0\n"),
        ("cd /; pwd; cd /nope 2>/dev/null || pwd", "/\n/\n"),
        ("echo a > f; echo b >> f; cat f; cat < f | wc -l", "a\nb\n2\n"),
        ("echo out; echo err >&2 2>/dev/null", "out\n"),
        ("cat /nope > all 2>&1; wc -l all; cat nope &> all; wc -l all", "1 all\n1 all\n"),
        ("printf '%s-%s\\n' a 1; printf hi", "a-1\nhi"),
        ("echo x | cat | cat - | wc -c", "2\n"),
        ("true | false; echo $?; exit 3 | true; echo on", "1\non\n"),
        (
            "mkdir -p d/e; echo > d/e/f; ls d; ls d/e; rm -r d; ls d 2>/dev/null; echo $?",
            "e\nf\n2\n",
        ),
        ("echo x > f; mv f g; [ -f g ] && [ ! -e f ] && cat g", "x\n"),
        ("if [ -d /tmp ]; then echo yes; else echo no; fi", "yes\n"),
        ("if [ \"$A\" = 1 ]\nthen echo no\nelse\n  echo else\nfi; echo $?", "else\n0\n"),
        ("if false; then echo no; fi; echo $?; if true; then false; fi; echo $?", "0\n1\n"),
        ("if [ x ]; then if [ '' ]; then echo a; else echo b; fi | cat; fi", "b\n"),
        ("echo a \\\n b; whoami", "a b\nuser\n"),
    ] {
        let (found, stderr, _) = bash(script).await;
        assert_eq!(found, stdout, "{script}: {stderr}");
    }
}

#[tokio::test]
async fn what_is_not_simulated_is_said_and_nothing_is_done() {
    for (script, what) in [
        ("nope --flag", "nope"),
        ("echo a > f; git status", "git"),
        ("echo a; ls -l", "ls -l"),
        ("echo a; tar -x f", "tar"),
        ("if false; then ls -R; fi", "ls -R"),
        ("false && python3 x.py", "python3"),
        ("echo a | grep a", "grep"),
        ("sleep 9 & curl x", "curl"),
        ("echo $(pwd)", "`$(` in a command line"),
        ("echo `pwd`", "``` in a command line"),
        ("echo a; (echo a)", "`(` in a command line"),
        ("cat << END", "`<<` in a command line"),
        ("ls *.txt", "`*` in a command line"),
        ("echo ${A:-x}", "`${` in a command line"),
        ("echo $1", "`$1` in a command line"),
        ("cd ~", "`~` in a command line"),
        ("for a in b; do echo a; done", "for"),
        ("while true; do echo a; done", "while"),
        ("f() { echo a; }", "`(` in a command line"),
        ("$A x", "a command whose name is in a variable"),
        ("echo a 3> f", "a file descriptor"),
        ("echo -e a", "echo -e"),
        ("printf '%d\\n' 1", "printf %d\\n"),
        ("printf '%s\\n' a b", "printf %s\\n"),
        ("exit x", "exit with no number"),
        ("sleep soon", "sleep of no number of seconds"),
        ("sleep 2m", "sleep of no number of seconds"),
        ("sleep", "sleep of no number of seconds"),
        ("if true; then true; elif true; then true; fi", "elif"),
        ("/usr/bin/git x", "/usr/bin/git"),
    ] {
        let files = crate::files::Files::default();
        let mut command = command("/bin/bash", &["-l", "-c", script]);
        command.files = files.clone();
        let expected = (String::new(), format!("not simulated: {what}\n"), 127);
        assert_eq!(collect(command, Input::empty()).await, expected, "{script}");
        assert_eq!(files.used(), 0, "{script}: something was done");
    }
    // What shows only when it runs ends the script there.
    let (stdout, stderr, code) = bash("B=-l; echo a; ls $B; echo b").await;
    assert_eq!((stdout.as_str(), stderr.as_str(), code), ("a\n", "not simulated: ls -l\n", 127));
    for arguments in [&["-c"][..], &["x.sh"], &["-x", "-c", "echo a"], &["-c", "echo a", "b"]] {
        let (stdout, _, code) = collect(command("/bin/bash", arguments), Input::empty()).await;
        assert_eq!((stdout.as_str(), code), ("", 127), "{arguments:?}");
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
        "if true; then fi",
        "if true; echo a; fi",
        "fi",
        "then",
        "if",
    ] {
        let (stdout, stderr, code) = bash(script).await;
        assert_eq!((stdout.as_str(), code), ("", 127), "{script}: {stderr}");
        assert!(stderr.starts_with("not simulated: "), "{script}: {stderr}");
    }
}

#[tokio::test(start_paused = true)]
async fn sleep_takes_its_time_on_the_clock() {
    let start = clock::now();
    assert_eq!(bash("sleep 1.5 && sleep 120; echo up").await.0, "up\n");
    assert_eq!(start.elapsed(), Duration::from_millis(121_500));
}

#[tokio::test(start_paused = true)]
async fn what_runs_in_the_background_keeps_the_output_open_unless_it_goes_elsewhere() {
    let start = clock::now();
    assert_eq!(bash("sleep 5 && echo late & echo first").await.0, "first\nlate\n");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    let start = clock::now();
    assert_eq!(bash("sleep 50 > /dev/null 2>&1 & echo first").await.0, "first\n");
    assert_eq!(start.elapsed(), Duration::ZERO);
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
    let cat = command("/bin/bash", &["-c", "cat; echo end"]);
    assert_eq!(collect(cat, input).await.0, "a\nb\nend\n");
}

#[tokio::test]
async fn a_program_needs_no_shell() {
    let echo = command("/bin/echo", &["a;b", "it's", "$A"]);
    assert_eq!(collect(echo, Input::empty()).await.0, "a;b it's $A\n");
    for missing in ["/no/such/bin", ""] {
        let complaint = format!("/usr/bin/nice: '{missing}': No such file or directory\n");
        let expected = (String::new(), complaint, 127);
        assert_eq!(collect(command(missing, &[]), Input::empty()).await, expected);
    }
    let expected = (String::new(), String::from("not simulated: /bin/cd\n"), 127);
    assert_eq!(collect(command("/bin/cd", &[]), Input::empty()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_can_be_handled_ends_a_command() {
    let (output, _chunks) = Output::new();
    let (send, events) = Events::new();
    let io = runner::Io { input: Input::empty(), output, events };
    let running = ScriptedRunner.run(command("sleep", &["60"]), io);
    send.send(Event::Signal(Signal::Terminate)).await.unwrap();
    assert_eq!(running.await, Exit::Signal(Signal::Terminate));
}

#[tokio::test]
async fn nothing_grows_without_bound() {
    let doubling = "B=0123456789; ".to_owned() + &"B=$B$B; ".repeat(40) + "echo $B | wc -c";
    assert_eq!(bash(&doubling).await.1, "not simulated: so long an argument\n");
    let many: String = (0..40).map(|n| format!("B{n}=$B; ")).collect();
    let many = "B=0123456789; ".to_owned() + &"B=$B$B; ".repeat(14) + &many + "echo $B39 | wc -c";
    assert_eq!(bash(&many).await.0, "1\n", "what does not fit is not set");
    let (_, stderr, _) = bash(&"sleep 0.01 & ".repeat(100)).await;
    assert!(stderr.contains("Resource temporarily unavailable"), "{stderr}");
    let deep = "if ".repeat(100_000);
    assert_eq!(bash(&deep).await.1, "not simulated: so deep a script\n");
    let full =
        "echo 0123456789 > f; ".to_owned() + &"cat f f f f > g; mv g f; ".repeat(16) + "true";
    let (_, stderr, _) = bash(&full).await;
    assert!(stderr.contains("No space left on device"), "{stderr}");
}

async fn cells(codes: &[&str]) -> Vec<(String, String, Result<Option<String>, Exception>)> {
    let kernel = ScriptedRunner.kernel("python").unwrap();
    let mut ran = Vec::new();
    for code in codes {
        let environment = BTreeMap::from([(String::from("WHO"), String::from("you"))]);
        let cell = Cell { code: (*code).to_owned(), environment, ..Cell::default() };
        let (output, mut chunks) = Output::new();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let reading = async {
            while let Some(chunk) = chunks.recv().await {
                let to = if chunk.stream == "stdout" { &mut stdout } else { &mut stderr };
                *to += std::str::from_utf8(&chunk.bytes).unwrap();
            }
        };
        let (outcome, ()) = tokio::join!(kernel.execute(cell, output), reading);
        ran.push((stdout, stderr, outcome));
    }
    ran
}

#[tokio::test(start_paused = true)]
async fn cells_give_what_python_gives() {
    for (code, stdout, result) in [
        ("1 + 2 * 3", "", Some("7")),
        ("x = 20\nprint('hi', x)\nx * 2 + 2", "hi 20\n", Some("42")),
        ("x = 1; x += 2; x *= 3; x", "", Some("9")),
        ("'a' + \"b\" * 2", "", Some("'abb'")),
        ("\"it's\"", "", Some("\"it's\"")),
        ("'a\\n\\'b'", "", Some("\"a\\n'b\"")),
        ("(1 + 2) * 3  # nine", "", Some("9")),
        ("import os, sys", "", None),
        ("import os; os.environ['WHO']", "", Some("'you'")),
        ("print()", "\n", None),
        ("1; None", "", None),
        ("x = 1\n\n# nothing\n", "", None),
        ("import time\ntime.sleep(1.5)\nprint(1)", "1\n", None),
    ] {
        // One module an import.
        let code = code.replace("import os, sys", "import os; import sys");
        let ran = cells(&[&code]).await.remove(0);
        assert_eq!((ran.0.as_str(), ran.2.unwrap().as_deref()), (stdout, result), "{code}");
    }
    let ran = cells(&["x = 2", "import sys; print('oh', file=sys.stderr); x"]).await.remove(1);
    assert_eq!((ran.1.as_str(), ran.2.unwrap().as_deref()), ("oh\n", Some("2")));
}

#[tokio::test(start_paused = true)]
async fn exceptions_are_pythons() {
    for (code, name, value, stdout) in [
        ("print(1)\nraise ValueError('bad')", "ValueError", "bad", "1\n"),
        ("raise KeyError", "KeyError", "", ""),
        ("print(1); x", "NameError", "name 'x' is not defined", "1\n"),
        ("print(1); 1 + 'a'", "NotImplementedError", "not simulated: + of these types", "1\n"),
        ("import os; os.environ['NO']", "KeyError", "'NO'", ""),
        ("'a' * 9999999", "MemoryError", "", ""),
        ("print(1); 'a", "SyntaxError", "unterminated string literal", ""),
    ] {
        let (said, _, outcome) = cells(&[code]).await.remove(0);
        let exception = outcome.unwrap_err();
        assert_eq!((exception.name.as_str(), exception.value.as_str()), (name, value), "{code}");
        assert_eq!(said, stdout, "{code}");
        assert!(exception.traceback.contains(name), "{code}");
    }
}

#[tokio::test]
async fn what_is_not_simulated_of_python_is_said_and_nothing_is_done() {
    for code in [
        "print(1)\nimport numpy",
        "print(1)\nfor x in y:\n  pass",
        "print(1); def f(): return 1",
        "print(1)\nlen('a')",
        "print(1); 1 / 2",
        "print(1); 1.5",
        "print(1); [1]",
        "print(1); f'{1}'",
        "print(1); x.y",
        "print(1); True",
        "print(1); 2 ** 3",
        "print(1); x == 1",
        "print(1); -1",
        "print(1); x if y else z",
        "print(1); 'a' 'b'",
        "print(1); '''a'''",
        "print('a', end='')",
        "print(1)\n  print(2)",
        "print(1); time.sleep(x)",
        "print(1); x = y = 1",
        "print(1); 1 2",
        "print(1); lambda: 1",
        "print(1); @x",
        "print(1); 99999999999999999999",
    ] {
        let (said, _, outcome) = cells(&[code]).await.remove(0);
        let exception = outcome.unwrap_err();
        assert_eq!((said.as_str(), exception.name.as_str()), ("", "NotImplementedError"), "{code}");
        assert!(exception.value.starts_with("not simulated: "), "{code}: {}", exception.value);
    }
}

proptest! {
    #[test]
    fn nothing_makes_a_reader_panic(
        script in "(echo|cat|if|then|fi|\\$A|\\$\\{|\\}|'|\"|\\\\|[|&;<>()#= \n]|2>|>>|&>|[a-z]|\\PC){0,40}",
        code in "(print\\(|x|=|\\+=|\\+|\\*|'|\"|\\(|\\)|import os|time.sleep\\(|raise |[0-9.;\n ]|\\PC){0,40}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            bash(&script).await;
            cells(&[&code]).await;
        });
    }
}
