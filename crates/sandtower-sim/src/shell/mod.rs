//! The runner that is used unless another is given: a few commands, and nothing of the host.

mod builtin;
mod syntax;

use crate::runner::{Command, Exit, Output, Runner, Running};

use syntax::{Join, Script, Step};

/// What bash answers for a command line that it cannot read.
const SYNTAX_ERROR: Exit = Exit(2);
const NOT_FOUND: Exit = Exit(127);

/// Understands `echo`, `sleep`, `exit`, `true` and `false`, joined by `;`, `&&` and `||`, alone or
/// as `bash -c`. Sleeping is on tokio's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shell;

impl Runner for Shell {
    fn run(&self, command: Command, output: Output) -> Running {
        Box::pin(run(command, output))
    }
}

async fn run(command: Command, output: Output) -> Exit {
    let program = command.program.as_str();
    let name = program.rsplit('/').next().unwrap_or(program);
    let system = ["", "/bin", "/usr/bin"];
    let known = program.strip_suffix(name).map(|dir| dir.trim_end_matches('/'));
    if known.is_none_or(|dir| !system.contains(&dir)) {
        return no_such_program(program, &output).await;
    }
    if matches!(name, "bash" | "sh") {
        return bash(program, &command.arguments, &output).await;
    }
    let words: Vec<_> = [name.to_owned()].into_iter().chain(command.arguments.clone()).collect();
    match builtin::run(program, &words, &output).await {
        Some(builtin::Outcome::Status(exit) | builtin::Outcome::Leave(exit)) => exit,
        None => no_such_program(program, &output).await,
    }
}

/// envd starts every command through `nice`, which is who complains.
async fn no_such_program(program: &str, output: &Output) -> Exit {
    let complaint = format!("/usr/bin/nice: '{program}': No such file or directory\n");
    output.stderr(complaint).await;
    NOT_FOUND
}

async fn bash(program: &str, arguments: &[String], output: &Output) -> Exit {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-l" | "--login" => {}
            "-c" | "-lc" => return script(program, arguments.next(), output).await,
            other => {
                output.stderr(format!("{program}: {other}: No such file or directory\n")).await;
                return NOT_FOUND;
            }
        }
    }
    // A shell that reads its commands from an empty standard input.
    Exit(0)
}

async fn script(program: &str, text: Option<&String>, output: &Output) -> Exit {
    let Some(text) = text else {
        output.stderr(format!("{program}: -c: option requires an argument\n")).await;
        return SYNTAX_ERROR;
    };
    let script = match Script::parse(text) {
        Ok(script) => script,
        Err(error) => {
            output.stderr(format!("{program}: -c: line {}: {error}\n", error.line)).await;
            return SYNTAX_ERROR;
        }
    };
    let mut last = Exit(0);
    for Step { join, line, words, to_stderr } in script.steps {
        let runs = match join {
            Join::Always => true,
            Join::IfOk => last == Exit(0),
            Join::IfFailed => last != Exit(0),
        };
        if !runs {
            continue;
        }
        let prefix = format!("{program}: line {line}");
        let redirected = builtin::Redirected { output, to_stderr };
        last = match builtin::in_script(&prefix, &words, redirected, last).await {
            builtin::Outcome::Status(exit) => exit,
            builtin::Outcome::Leave(exit) => return exit,
        };
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, runner::Chunk};
    use std::time::Duration;

    async fn bash(script: &str) -> (String, String, u8) {
        let arguments = ["-l", "-c", script].map(String::from).to_vec();
        let program = String::from("/bin/bash");
        collect(Command { program, arguments, ..Command::default() }).await
    }

    async fn collect(command: Command) -> (String, String, u8) {
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
        let (Exit(code), ()) = tokio::join!(Shell.run(command, output), reading);
        (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), code)
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
            ("echo 'health_check'", "health_check\n", "", 0),
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
    async fn what_cannot_be_read_runs_nothing() {
        for script in [
            "echo a; echo 'b",
            "echo a; echo \"b",
            "echo a; ;",
            "echo a &&",
            "&& echo a",
            "echo a | cat",
            "echo $HOME",
            "echo a > /tmp/x",
            "echo a & echo b",
            "(echo a)",
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

    #[tokio::test]
    async fn a_program_needs_no_shell() {
        let command = |program: &str| Command {
            program: program.to_owned(),
            arguments: vec![String::from("a;b")],
            ..Command::default()
        };
        assert_eq!(collect(command("/bin/echo")).await.0, "a;b\n");
        let complaint = "/usr/bin/nice: '/no/such/bin': No such file or directory\n";
        let expected = (String::new(), complaint.to_owned(), 127);
        assert_eq!(collect(command("/no/such/bin")).await, expected);
        assert_eq!(collect(command("")).await.2, 127);
    }
}
