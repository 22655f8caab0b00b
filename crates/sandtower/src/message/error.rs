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
                (format!("Try again in {}.", Time(after)), Some(after))
            }
            Hint::Again { after: None } => (String::from("Try again."), None),
            Hint::Look => (String::from("It may have worked; check before you try again."), None),
            _ => (String::from("Trying again will not help."), None),
        };
        let text = particular(error).unwrap_or_else(|| format!("{}. {what}", went_wrong(error)));
        Self::new(sentence(text), after)
    }
}

/// Errors that call for particular advice.
fn particular(error: &Error) -> Option<String> {
    let operation = error.call().operation;
    let status = error.status().map(|status| status.as_u16());
    Some(match (error, error.verdict().outcome, status) {
        (Error::CommandTimedOut { after, .. }, ..) => {
            format!(
                "the command was stopped after {}. Allow more time, or do less in one command.",
                Time(*after)
            )
        }
        (Error::DeadlineExceeded { after, .. }, ..) if operation == op::CODE_EXECUTE => {
            format!(
                "the code ran longer than {}. Allow more time, or do less at once.",
                Time(*after)
            )
        }
        (Error::CodeTimedOut { after, .. }, ..) => {
            format!(
                "the code ran longer than {}. Allow more time, or do less at once.",
                Time(*after)
            )
        }
        (Error::OutputTooLong { longest, .. }, ..) => {
            let what = if operation == op::CODE_EXECUTE { "code" } else { "command" };
            format!("the {what} printed more than {longest} bytes. Reduce its output.")
        }
        (Error::FileTooLong { longest, .. }, ..) => {
            format!("the file is longer than {longest} bytes. Read it in parts.")
        }
        (Error::Process { .. }, Outcome::Permanent, _) => String::from(
            "the command could not be started. Check that the command, its user and its directory exist.",
        ),
        (_, Outcome::Exhausted, _) => {
            String::from("all sandboxes are in use. Try again when one has ended.")
        }
        (_, _, Some(401)) => {
            String::from("E2B does not accept the API key. Contact the operator of this service.")
        }
        (_, _, Some(403)) => {
            String::from("E2B does not allow this. Contact the operator of this service.")
        }
        (_, _, Some(404)) if operation == op::SANDBOX_CREATE => {
            String::from("E2B does not know the template. Choose another one.")
        }
        (_, Outcome::Permanent, Some(404 | 502)) if error.call().sandbox.is_some() => {
            String::from("the sandbox is gone or does not respond. Create a new one.")
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
        (Outcome::Throttled, _) => String::from("E2B accepts no more requests at the moment"),
        (_, Error::NoResponse { .. }) => format!("E2B did not respond to the request to {doing}"),
        (Outcome::Permanent, _) => format!("E2B rejected the request to {doing}"),
        _ => format!("E2B failed to {doing}"),
    }
}

fn doing(operation: Operation) -> &'static str {
    match operation {
        op::SANDBOX_CREATE => "create a sandbox",
        op::SANDBOX_CONNECT | op::SANDBOX_RESUME => "resume the sandbox",
        op::SANDBOX_KILL => "kill the sandbox",
        op::SANDBOX_PAUSE => "pause the sandbox",
        op::PROCESS_START => "run the command",
        op::CODE_EXECUTE => "run the code",
        op::FILE_READ => "read the file",
        op::FILE_WRITE => "write the file",
        _ => "do this",
    }
}
