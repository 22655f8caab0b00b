use std::time::Duration;

use sandtower::core::{Outcome, Tick};
use sandtower::e2b::{Command, Error, Hint, ProcessEvent, Running, Selector};
use sandtower_sim::Body;

use super::sandbox;

const SECOND: Duration = Duration::from_secs(1);

async fn next(running: &mut Running<Body>) -> ProcessEvent {
    running.next().await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn output_arrives_as_it_is_printed() {
    let (_, client, sandbox) = sandbox().await;
    let start = Tick::now();
    let command = Command::new("echo one; sleep 5; echo two >&2; exit 3");
    let mut running = client.start(&sandbox, &command).await.unwrap();
    assert!(running.pid() > 0);
    assert_eq!(next(&mut running).await, ProcessEvent::Stdout("one\n".into()));
    assert!(Tick::now().since(start) < SECOND);
    assert_eq!(next(&mut running).await, ProcessEvent::Stderr("two\n".into()));
    assert!(Tick::now().since(start) >= 5 * SECOND);
    let ProcessEvent::Exit(exit) = next(&mut running).await else { panic!("still running") };
    assert_eq!((exit.code, exit.is_success()), (3, false));
    assert!(running.next().await.is_none() && running.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn keepalives_let_a_command_be_silent_for_longer_than_a_stream_may_be() {
    let (_, client, sandbox) = sandbox().await;
    let command = Command::new("sleep 1000; echo done").timeout(None);
    let output = client.run(&sandbox, &command).await;
    // The sandbox's own lifetime ends before: the connection is reset.
    assert!(matches!(output, Err(Error::BrokenResponse { .. })), "{output:?}");
    let (_, client, sandbox) = super::sandbox().await;
    client.set_timeout(sandbox.id(), 3_000 * SECOND).await.unwrap();
    let output = client.run(&sandbox, &command).await.unwrap();
    assert_eq!(output.stdout_text(), "done\n");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_command_kills_it_and_is_no_failure_of_the_service() {
    let (_, client, sandbox) = sandbox().await;
    let command = Command::new("sleep 100").timeout(2 * SECOND);
    let error = client.run(&sandbox, &command).await.unwrap_err();
    assert!(matches!(error, Error::CommandTimedOut { after, .. } if after == 2 * SECOND));
    assert_eq!((error.verdict().outcome, error.hint()), (Outcome::Success, Hint::Stop));
    assert_eq!(client.processes(&sandbox).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_starter_is_gone_is_found_again_and_killed() {
    let (_, client, sandbox) = sandbox().await;
    let command = Command::new("sleep 20; echo still here; sleep 100").timeout(None);
    let running = client.start(&sandbox, &command).await.unwrap();
    let (pid, call) = (running.pid(), running.call().id.unwrap());
    drop(running);
    let processes = client.processes(&sandbox).await.unwrap();
    assert_eq!((processes.len(), processes[0].pid), (1, pid));
    assert_eq!(processes[0].tag, Some(call.to_string()));

    let mut again = client.connect_process(&sandbox, call).await.unwrap();
    assert_eq!(again.pid(), pid);
    assert_eq!(next(&mut again).await, ProcessEvent::Stdout("still here\n".into()));
    assert!(client.kill_process(&sandbox, pid).await.unwrap());
    let ProcessEvent::Exit(exit) = next(&mut again).await else { panic!("still running") };
    assert!(exit.code < 0, "{exit:?}");
    assert!(!client.kill_process(&sandbox, pid).await.unwrap());
    let error = client.connect_process(&sandbox, pid).await.unwrap_err();
    assert_eq!(error.body().unwrap().code.as_deref(), Some("not_found"));
}

#[tokio::test(start_paused = true)]
async fn a_command_can_be_terminated_by_its_name() {
    let (_, client, sandbox) = sandbox().await;
    let command = Command::new("sleep 100").tag("sleeper");
    let running = client.start(&sandbox, &command).await.unwrap();
    assert!(client.terminate_process(&sandbox, Selector::tag("sleeper")).await.unwrap());
    assert!(!running.output(100).await.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_command_reads_what_is_written_to_it() {
    let (_, client, sandbox) = sandbox().await;
    let mut cat = client.start(&sandbox, &Command::new("cat").stdin(true)).await.unwrap();
    let pid = cat.pid();
    client.send_stdin(&sandbox, pid, b"abc\n").await.unwrap();
    assert_eq!(next(&mut cat).await, ProcessEvent::Stdout("abc\n".into()));
    client.close_stdin(&sandbox, pid).await.unwrap();
    assert!(cat.output(100).await.unwrap().is_success());

    let deaf = client.start(&sandbox, &Command::new("sleep 9")).await.unwrap();
    assert!(client.send_stdin(&sandbox, deaf.pid(), b"abc\n").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn more_output_than_the_limit_is_an_error() {
    let (_, client, sandbox) = sandbox().await;
    let command = Command::new("echo 0123456789").longest_output(4);
    let error = client.run(&sandbox, &command).await.unwrap_err();
    assert!(matches!(error, Error::OutputTooLong { longest: 4, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_started_names_the_cause_and_the_sandbox() {
    let (_, client, sandbox) = sandbox().await;
    let error = client.start(&sandbox, &Command::new("pwd").cwd("/nope")).await.unwrap_err();
    assert!(matches!(error, Error::Process { .. }), "{error:?}");
    assert!(error.to_string().contains("cwd '/nope' does not exist"), "{error}");
    assert!(error.to_string().contains(sandbox.id().as_str()), "{error}");
}
