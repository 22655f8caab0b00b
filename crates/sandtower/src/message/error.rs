use super::Message;
use super::words::{Time, sentence};
use crate::core::{Operation, Outcome, find};
use crate::e2b::{Error, Hint, operation as op};
use crate::timeout::Elapsed;

impl From<&Error> for Message {
    fn from(error: &Error) -> Self {
        if let Some(rejection) = error.rejection() {
            return Self::from(rejection);
        }
        let (what, after) = match error.hint() {
            Hint::Again { after: Some(after) } => {
                (format!("try again in {}", Time(after)), Some(after))
            }
            Hint::Again { after: None } => (String::from("try again"), None),
            Hint::Look => {
                (String::from("it may have been done all the same, look before trying again"), None)
            }
            _ => (String::from("another attempt would end the same"), None),
        };
        let text = happened(error).unwrap_or_else(|| format!("{}; {what}", went_wrong(error)));
        Self::new(sentence(text), after)
    }
}

/// What needs advice of its own.
fn happened(error: &Error) -> Option<String> {
    let operation = error.call().operation;
    let status = error.status().map(|status| status.as_u16());
    Some(match (error, error.verdict().outcome, status) {
        (Error::CommandTimedOut { after, .. }, ..) => {
            format!(
                "the command was stopped after {}; give it more time, or less to do",
                Time(*after)
            )
        }
        (Error::DeadlineExceeded { after, .. }, ..) if operation == op::CODE_EXECUTE => {
            format!("the code ran longer than {}; give it more time, or less to do", Time(*after))
        }
        (Error::CodeTimedOut { after, .. }, ..) => {
            format!("the code ran longer than {}; give it more time, or less to do", Time(*after))
        }
        (Error::OutputTooLong { longest, .. }, ..) => {
            let what = if operation == op::CODE_EXECUTE { "code" } else { "command" };
            format!("the {what} printed more than {longest} bytes; let it print less")
        }
        (Error::FileTooLong { longest, .. }, ..) => {
            format!("the file is longer than {longest} bytes; read less of it at once")
        }
        (Error::Process { .. }, Outcome::Permanent, _) => String::from(
            "the sandbox cannot do that; see whether the command, its user and its directory are there",
        ),
        (_, Outcome::Exhausted, _) => {
            String::from("E2B rejects new sandboxes (all are in use); try again when one has ended")
        }
        (_, _, Some(401)) => {
            String::from("E2B does not accept the API key; whoever runs this has to look at it")
        }
        (_, _, Some(403)) => {
            String::from("E2B does not allow this; whoever runs this has to look at it")
        }
        (_, _, Some(404)) if operation == op::SANDBOX_CREATE => {
            String::from("E2B does not know the template; choose another")
        }
        (_, Outcome::Permanent, Some(404 | 502)) if error.call().sandbox.is_some() => {
            String::from("the sandbox is gone, or nothing answers in it; create a new one")
        }
        _ => return None,
    })
}

fn went_wrong(error: &Error) -> String {
    let doing = doing(error.call().operation);
    if let Some(elapsed) = find::<Elapsed>(error) {
        return format!("E2B took longer than {} to {doing}", Time(elapsed.after()));
    }
    match (error.verdict().outcome, error) {
        (Outcome::Throttled, _) => String::from("E2B takes no more requests for now"),
        (_, Error::NoResponse { .. }) => format!("E2B did not respond when asked to {doing}"),
        (Outcome::Permanent, _) => format!("E2B refused to {doing}"),
        _ => format!("E2B failed to {doing}"),
    }
}

fn doing(operation: Operation) -> &'static str {
    match operation {
        op::SANDBOX_CREATE => "create a sandbox",
        op::SANDBOX_CONNECT | op::SANDBOX_RESUME => "bring the sandbox back",
        op::SANDBOX_KILL => "end the sandbox",
        op::SANDBOX_PAUSE => "pause the sandbox",
        op::PROCESS_START => "run the command",
        op::CODE_EXECUTE => "run the code",
        op::FILE_READ => "read the file",
        op::FILE_WRITE => "write the file",
        _ => "do this",
    }
}
