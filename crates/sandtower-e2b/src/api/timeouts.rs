use std::time::Duration;

use sandtower_core::Operation;

use crate::operation::{self as op, timeout};

/// Waits and retries included. Longer than two attempts at a creation.
const CALL: Duration = Duration::from_secs(120);
/// Streams end when their callers end them; the timeout of an upload depends on its length.
const ENDLESS: [Operation; 6] = [
    op::PROCESS_START,
    op::PROCESS_CONNECT,
    op::CODE_EXECUTE,
    op::SANDBOX_TRAFFIC,
    op::FILE_WATCH,
    op::FILE_WRITE,
];

/// The timeouts of each operation of E2B: of an attempt, until the head of its response, and of a whole
/// call with its waits and retries.
///
/// The [client](crate::Client) enforces the timeout of calls, and fails a response whose body stalls for
/// as long as an attempt may take. The timeout of attempts is up to a layer below the client.
///
/// | attempts at | seconds | why |
/// |---|---|---|
/// | create, connect, resume, fork, snapshot, pause, template builds | 60 | E2B's API times out after 70 s, its official clients after 60 s |
/// | reading a file | 3 | local to the sandbox's host, and safe to repeat |
/// | writing a file | 60 | the body is sent before the head of the response arrives |
/// | health | 5 | slower is unhealthy |
/// | other calls of a sandbox's envd | 10 or 30 | |
/// | other calls of the control plane; starting a command; anything unknown | 30 | |
/// | running code, the user's own ports | none | the head may arrive only when the work is done |
///
/// A call may take 120 s, waits and retries included. Streams (commands, code, watches, the user's own
/// ports) have no timeout but that of their caller. An upload gets 120 s plus one second for each 64 KiB.
///
/// ```
/// use std::time::Duration;
/// use sandtower_e2b::{Timeouts, operation as op};
///
/// let patient = Timeouts::default().attempt(op::FILE_READ, Duration::from_secs(10));
/// assert_eq!(patient.attempt_of(op::FILE_READ), Some(Duration::from_secs(10)));
/// assert_eq!(patient.attempt_of(op::SANDBOX_CREATE), Some(Duration::from_secs(60)));
/// assert_eq!(patient.call_of(op::PROCESS_START), None);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// By the operation's index.
    rows: [Row; op::ALL.len() + 1],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    attempt: Option<Duration>,
    call: Option<Duration>,
}

impl Row {
    fn of(operation: Operation) -> Self {
        let is_endless = ENDLESS.contains(&operation);
        Self { attempt: timeout(operation), call: if is_endless { None } else { Some(CALL) } }
    }
}

impl Timeouts {
    /// Sets the timeout of attempts at `operation`; `None`: no timeout. Operations other than
    /// [E2B's](crate::operation::ALL) use that of [`Operation::CALL`].
    #[must_use]
    pub fn attempt(mut self, operation: Operation, limit: impl Into<Option<Duration>>) -> Self {
        self.row_mut(operation).attempt = limit.into();
        self
    }

    /// Sets the timeout of calls of `operation`; `None`: no timeout.
    #[must_use]
    pub fn call(mut self, operation: Operation, limit: impl Into<Option<Duration>>) -> Self {
        self.row_mut(operation).call = limit.into();
        self
    }

    /// The timeout of attempts at `operation`.
    pub fn attempt_of(&self, operation: Operation) -> Option<Duration> {
        self.row(operation).attempt
    }

    /// The timeout of calls of `operation`.
    pub fn call_of(&self, operation: Operation) -> Option<Duration> {
        self.row(operation).call
    }

    fn row(&self, operation: Operation) -> Row {
        self.rows.get(operation.index()).copied().unwrap_or(self.rows[0])
    }

    fn row_mut(&mut self, operation: Operation) -> &mut Row {
        let index = operation.index();
        &mut self.rows[if index < self.rows.len() { index } else { 0 }]
    }
}

/// Shows what differs from the default.
impl std::fmt::Debug for Timeouts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [Operation::CALL].into_iter().chain(op::ALL.iter().copied());
        let changed = all.filter(|operation| self.row(*operation) != Row::of(*operation));
        f.write_str("Timeouts ")?;
        f.debug_map().entries(changed.map(|it| (it.name(), self.row(it)))).finish()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let mut rows = [Row::of(Operation::CALL); op::ALL.len() + 1];
        for operation in op::ALL {
            rows[operation.index()] = Row::of(*operation);
        }
        Self { rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_changed_rows() {
        assert_eq!(format!("{:?}", Timeouts::default()), "Timeouts {}");
        let changed = Timeouts::default().call(op::FILE_READ, None);
        let shown = r#"Timeouts {"file_read": Row { attempt: Some(3s), call: None }}"#;
        assert_eq!(format!("{changed:?}"), shown);
    }

    #[test]
    fn changed_rows_apply() {
        let timeouts = Timeouts::default();
        let attempt = |operation| timeouts.attempt_of(operation).map(|limit| limit.as_secs());
        assert_eq!(attempt(op::SANDBOX_CREATE), Some(60));
        assert_eq!(attempt(op::FILE_READ), Some(3));
        assert_eq!(attempt(op::CODE_EXECUTE), None);
        assert_eq!(attempt(Operation::new(200, "of another service")), Some(30));
    }

    #[test]
    fn a_call_has_time_for_more_than_one_attempt() {
        let timeouts = Timeouts::default();
        for operation in op::ALL {
            let (attempt, call) = (timeouts.attempt_of(*operation), timeouts.call_of(*operation));
            if let (Some(attempt), Some(call)) = (attempt, call) {
                assert!(call >= attempt * 2, "{operation}");
            }
        }
    }

    #[test]
    fn a_setter_changes_one_row() {
        let short = Duration::from_millis(1);
        let changed = Timeouts::default().attempt(op::HEALTH, short).call(op::SANDBOX_LIST, None);
        for operation in op::ALL {
            let before = Timeouts::default();
            let attempt =
                if *operation == op::HEALTH { Some(short) } else { before.attempt_of(*operation) };
            let call =
                if *operation == op::SANDBOX_LIST { None } else { before.call_of(*operation) };
            assert_eq!(changed.attempt_of(*operation), attempt, "{operation}");
            assert_eq!(changed.call_of(*operation), call, "{operation}");
        }
    }
}
