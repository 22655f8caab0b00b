//! Streams: where they end, and how they are split.

use std::time::Duration;

use sandtower_core::Tick;
use sandtower_e2b::{Code, Command, Error, Hint, ProcessEvent};

use super::support::{Piece, client, data, ok, sandbox, stream};

const START: &str = r#"{"event":{"start":{"pid":7}}}"#;
const HI: &str = r#"{"event":{"data":{"stdout":"aGkK"}}}"#;
const EXIT: &str = r#"{"event":{"end":{"exited":true}}}"#;

#[tokio::test(start_paused = true)]
async fn an_execution_ends_only_with_its_end_event() {
    let half = r#"{"type":"stdout","text":"half"}"#;
    for body in [
        "",
        "\n\n",
        half,
        "{\"type\":\"stdout\",\"text\":\"half\"}\n",
        "{\"type\":\"number_of_executions\",\"execution_count\":1}\n",
        "{\"type\":\"result\",\"text\":\"2\",\"is_main_result\":true}\n",
        "{\"type\":\"error\",\"name\":\"E\",\"value\":\"v\",\"traceback\":\"t\"}\n",
        "{\"type\":\"stdout\",\"te",
        "{\"type\":\"end_of_exec",
    ] {
        let client = client([ok([data(body)])]);
        let error = client.run_code(&sandbox(), &Code::new("x")).await.unwrap_err();
        assert!(matches!(error, Error::BrokenResponse { .. }), "{body}: {error}");
        assert_eq!(error.hint(), Hint::Look, "{body}: it may have run");
        assert_eq!(client.service().sent(), 1, "{body}: it runs once");
    }
    let whole = format!("{half}\n{{\"type\":\"end_of_execution\"}}");
    let execution = client([ok([data(whole)])]).run_code(&sandbox(), &Code::new("x")).await;
    assert_eq!(execution.unwrap().stdout, "half", "the last line needs no newline");
}

#[tokio::test(start_paused = true)]
async fn a_command_ends_only_with_its_stream() {
    let whole = stream(&[START, HI, EXIT, "{}"]);
    for cut in 0..whole.len() {
        let client = client([ok([data(whole[..cut].to_vec())])]);
        let error = client.run(&sandbox(), &Command::new("x")).await.unwrap_err();
        assert!(matches!(error, Error::BrokenResponse { .. }), "{cut}: {error}");
        assert_eq!(client.service().sent(), 1, "{cut}: it runs once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_known_is_returned_without_waiting_for_the_transport_to_end() {
    let begin = Tick::now();
    for end in [&[Piece::Silence][..], &[data(""), Piece::Silence], &[Piece::Break], &[]] {
        let lines = "{\"type\":\"stdout\",\"text\":\"hi\"}\n{\"type\":\"end_of_execution\"}\n";
        let body = [&[data(lines)], end].concat();
        let execution = client([ok(body)]).run_code(&sandbox(), &Code::new("x")).await.unwrap();
        assert_eq!(execution.stdout, "hi", "{end:?}");

        let body = [&[data(stream(&[START, HI, EXIT, "{}"]))], end].concat();
        let output = client([ok(body)]).run(&sandbox(), &Command::new("x")).await.unwrap();
        assert_eq!(output.stdout_text(), "hi\n", "{end:?}");

        let error = r#"{"error":{"code":"invalid_argument","message":"no such cwd"}}"#;
        let body = [&[data(stream(&[error]))], end].concat();
        let error = client([ok(body)]).run(&sandbox(), &Command::new("x")).await.unwrap_err();
        assert!(matches!(error, Error::Process { .. }), "{end:?}: {error}");
    }
    assert_eq!(Tick::now().since(begin), Duration::ZERO);
}

#[tokio::test]
async fn text_can_be_decoded_piece_by_piece_however_the_process_writes_it() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    for text in ["grüße aus köln", "日本語テキスト", "🦀 and 🐍", "plain"] {
        let mut messages = vec![START.to_owned()];
        for byte in text.as_bytes() {
            let byte = STANDARD.encode([*byte]);
            messages.push(format!(r#"{{"event":{{"data":{{"stdout":"{byte}"}}}}}}"#));
        }
        messages.extend([EXIT.to_owned(), "{}".to_owned()]);
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        let client = client([ok([data(stream(&messages))])]);
        let mut running = client.start(&sandbox(), &Command::new("x")).await.unwrap();
        let mut shown = String::new();
        while let Some(event) = running.next().await {
            if let ProcessEvent::Stdout(piece) = event.unwrap() {
                shown.push_str(&String::from_utf8_lossy(&piece));
            }
        }
        assert_eq!(shown, text);
    }
}
