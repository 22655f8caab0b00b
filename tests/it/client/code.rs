use std::time::Duration;

use sandtower::core::{Outcome, Tick};
use sandtower::e2b::{Code, CodeEvent, Error, Hint};

use super::sandbox_of;

const TEMPLATE: &str = "code-interpreter-v1";

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn code_runs_and_remembers_what_ran_before() {
    let (_, client, sandbox) = sandbox_of(TEMPLATE).await;
    let first = client.run_code(&sandbox, &Code::new("x = 20\nprint('hi')\nx + 1")).await.unwrap();
    assert_eq!((first.stdout.as_str(), first.text()), ("hi\n", Some("21")));
    assert_eq!((first.count, first.error), (Some(1), None));
    let second = client.run_code(&sandbox, &Code::new("x * 2")).await.unwrap();
    assert_eq!((second.text(), second.count), (Some("40"), Some(2)));
}

#[tokio::test(start_paused = true)]
async fn an_exception_is_data_and_the_service_has_done_its_work() {
    let (_, client, sandbox) = sandbox_of(TEMPLATE).await;
    let code = Code::new("print('before')\nraise ValueError('no')");
    let execution = client.run_code(&sandbox, &code).await.unwrap();
    let error = execution.error.unwrap();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("ValueError", "no"));
    assert!(error.traceback.contains("ValueError"));
    assert_eq!(execution.stdout, "before\n");
}

#[tokio::test(start_paused = true)]
async fn events_of_code_arrive_as_they_happen() {
    let (_, client, sandbox) = sandbox_of(TEMPLATE).await;
    let start = Tick::now();
    let code = Code::new("import time\nprint('one')\ntime.sleep(5)\nprint('two')");
    let mut executing = client.start_code(&sandbox, &code).await.unwrap();
    let mut events = Vec::new();
    while let Some(event) = executing.next().await {
        events.push((event.unwrap(), Tick::now().since(start).as_secs()));
    }
    assert_eq!(
        events,
        [
            (CodeEvent::Count(1), 0),
            (CodeEvent::Stdout("one\n".into()), 0),
            (CodeEvent::Stdout("two\n".into()), 5),
        ],
    );
    assert!(executing.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_code_ends_the_call_and_is_no_failure_of_the_service() {
    let (_, client, sandbox) = sandbox_of(TEMPLATE).await;
    let start = Tick::now();
    let code = Code::new("import time\nprint('one')\ntime.sleep(50)").timeout(3 * SECOND);
    let error = client.run_code(&sandbox, &code).await.unwrap_err();
    assert!(matches!(error, Error::CodeTimedOut { after, .. } if after == 3 * SECOND), "{error}");
    assert_eq!((error.verdict().outcome, error.hint()), (Outcome::Success, Hint::Stop));
    assert!(Tick::now().since(start) < 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn contexts_are_separate() {
    let (_, client, sandbox) = sandbox_of(TEMPLATE).await;
    let context = client.create_context(&sandbox, Some("python"), Some("/tmp")).await.unwrap();
    assert_eq!((context.language.as_str(), context.cwd.as_str()), ("python", "/tmp"));
    let all = client.contexts(&sandbox).await.unwrap();
    assert!(all.contains(&context), "{all:?}");

    let within = |text: &str| Code::new(text).context(&context.id);
    client.run_code(&sandbox, &within("y = 1")).await.unwrap();
    assert_eq!(client.run_code(&sandbox, &within("y")).await.unwrap().text(), Some("1"));
    assert!(client.run_code(&sandbox, &Code::new("y")).await.unwrap().error.is_some());

    assert!(client.restart_context(&sandbox, &context.id).await.unwrap());
    assert!(client.run_code(&sandbox, &within("y")).await.unwrap().error.is_some());
    assert!(client.remove_context(&sandbox, &context.id).await.unwrap());
    assert!(!client.remove_context(&sandbox, &context.id).await.unwrap());
    assert!(!client.restart_context(&sandbox, "no/../such").await.unwrap());
    let error = client.run_code(&sandbox, &within("1")).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 404);
}

#[tokio::test(start_paused = true)]
async fn environment_reaches_the_code_and_too_long_a_result_is_an_error() {
    let (_, client, sandbox) = sandbox_of(TEMPLATE).await;
    let code = Code::new("import os\nprint(os.environ['A'])").env("A", "from outside");
    assert_eq!(client.run_code(&sandbox, &code).await.unwrap().stdout, "from outside\n");
    let error = client.run_code(&sandbox, &code.longest(20)).await.unwrap_err();
    assert!(matches!(error, Error::OutputTooLong { longest: 20, .. }), "{error}");
}
