//! The operations of E2B. Each has its own queue, rate limit and counters.

use std::time::Duration;

use sandtower_core::{Operation, Replay, Scope};

/// One table of all operations: it keeps the numbers dense, and forces every operation to declare
/// whether it may be replayed and how many seconds its response may take.
macro_rules! operations {
    ($($index:literal $constant:ident $name:literal $replay:ident $seconds:tt $doc:literal)*) => {
        $(
            #[doc = $doc]
            pub const $constant: Operation = Operation::new($index, $name);
        )*

        /// All operations, by number from 1; 0 is [`Operation::CALL`].
        pub const ALL: &[Operation] = &[$($constant),*];

        /// Whether a request for `operation` may be sent again after an attempt that may have had an
        /// effect. `None` where it depends on the method.
        pub(crate) const fn replay(operation: Operation) -> Option<Replay> {
            match operation.index() {
                $($index => operations!(@ $replay),)*
                _ => Some(Replay::Unsafe),
            }
        }

        /// The timeout of an attempt at `operation`, until the head of the response.
        pub(crate) const fn timeout(operation: Operation) -> Option<Duration> {
            match operation.index() {
                $($index => operations!(@ $seconds),)*
                _ => Some(ATTEMPT),
            }
        }
    };
    (@ endless) => { None };
    (@ safe) => { Some(Replay::Safe) };
    (@ never) => { Some(Replay::Unsafe) };
    (@ method) => { None };
    (@ $seconds:literal) => { Some(Duration::from_secs($seconds)) };
}

/// For operations outside the table.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(30);

operations! {
    1 SANDBOX_CREATE "sandbox_create" never 60 "`POST /sandboxes`: a repeat creates a second sandbox."
    2 SANDBOX_CONNECT "sandbox_connect" safe 60 "`POST /sandboxes/{id}/connect`: joins a start in flight."
    3 SANDBOX_LIST "sandbox_list" safe 30 "`GET /sandboxes`."
    4 SANDBOX_INFO "sandbox_info" safe 30 "`GET /sandboxes/{id}`."
    5 SANDBOX_KILL "sandbox_kill" safe 30 "`DELETE /sandboxes/{id}`: a repeat finds it gone."
    6 SANDBOX_TIMEOUT "sandbox_timeout" safe 30 "`POST /sandboxes/{id}/timeout`: the timeout is absolute."
    7 SANDBOX_PAUSE "sandbox_pause" safe 60 "`POST /sandboxes/{id}/pause`: a repeat finds it paused."
    8 SANDBOX_RESUME "sandbox_resume" safe 60 "`POST /sandboxes/{id}/resume`: a repeat finds it running."
    9 SANDBOX_REFRESH "sandbox_refresh" safe 30 "`POST /sandboxes/{id}/refreshes`."
    10 SANDBOX_METRICS "sandbox_metrics" safe 30 "`GET /sandboxes/metrics`, `GET /sandboxes/{id}/metrics`."
    11 SANDBOX_LOGS "sandbox_logs" safe 30 "`GET /sandboxes/{id}/logs`."
    12 SANDBOX_FORK "sandbox_fork" never 60 "`POST /sandboxes/{id}/fork`: a repeat forks twice."
    13 SANDBOX_SNAPSHOT "sandbox_snapshot" never 60 "`POST /sandboxes/{id}/snapshots`: a repeat creates a second one."
    14 SANDBOX_NETWORK "sandbox_network" safe 30 "`PUT /sandboxes/{id}/network`: replaces the rules as a whole."
    15 SNAPSHOT_LIST "snapshot_list" safe 30 "`GET /snapshots`."
    16 TEMPLATE_READ "template_read" safe 30 "Any `GET` under `/templates`."
    17 TEMPLATE_BUILD "template_build" never 60 "Any `POST` under `/templates`: a repeat may build twice."
    18 HEALTH "health" safe 5 "`GET /health` of the control plane."
    19 CONTROL_OTHER "control_other" method 30 "Any other call of the control plane."
    20 ENVD_HEALTH "envd_health" safe 5 "`GET /health` of a sandbox's envd: a liveness check."
    21 ENVD_METRICS "envd_metrics" safe 10 "`GET /metrics` of a sandbox's envd."
    22 ENVD_ENVS "envd_envs" safe 10 "`GET /envs` of a sandbox's envd."
    23 ENVD_INIT "envd_init" never 10 "`POST /init` of a sandbox's envd."
    24 FILE_READ "file_read" safe 3 "`GET /files`."
    25 FILE_WRITE "file_write" safe 60 "`POST /files`: replaces whole files."
    26 FILE_STAT "file_stat" safe 10 "`Filesystem/Stat`."
    27 FILE_LIST "file_list" safe 10 "`Filesystem/ListDir`."
    28 FILE_MAKE_DIR "file_make_dir" never 10 "`Filesystem/MakeDir`: a repeat says that it exists."
    29 FILE_MOVE "file_move" never 10 "`Filesystem/Move`: a repeat finds nothing to move."
    30 FILE_REMOVE "file_remove" never 30 "`Filesystem/Remove`: a repeat may find nothing to remove."
    31 FILE_WATCH "file_watch" never 30 "`Filesystem/WatchDir` and the calls of a watch: a repeat loses events."
    32 PROCESS_LIST "process_list" safe 10 "`Process/List`."
    33 PROCESS_START "process_start" never 30 "`Process/Start`: a repeat runs the command twice."
    34 PROCESS_CONNECT "process_connect" safe 30 "`Process/Connect`: follows a running process."
    35 PROCESS_UPDATE "process_update" safe 10 "`Process/Update`: sets the size of a terminal."
    36 PROCESS_INPUT "process_input" never 30 "`Process/SendInput`, `StreamInput`, `CloseStdin`: a repeat types twice."
    37 PROCESS_SIGNAL "process_signal" never 10 "`Process/SendSignal`: a second interrupt means something else."
    38 CODE_EXECUTE "code_execute" never endless "`POST /execute` of the code interpreter: a repeat runs the code twice."
    39 CODE_OTHER "code_other" method 30 "Any other call of the code interpreter."
    40 ENVD_OTHER "envd_other" method 30 "Any other call of a sandbox's envd."
    41 SANDBOX_TRAFFIC "sandbox_traffic" method endless "A call of a port that the user's own program listens on."
}

/// The scope of the control plane, which creates, lists and kills sandboxes.
pub const CONTROL_PLANE: Scope = Scope::ALL;

/// The scope of sandboxes and the proxy in front of them.
pub const SANDBOXES: Scope = Scope::new(1);

/// The scope of an operation. The two fail independently: running sandboxes survive when none can be
/// created.
pub const fn scope(operation: Operation) -> Scope {
    if operation.index() < ENVD_HEALTH.index() { CONTROL_PLANE } else { SANDBOXES }
}

/// Whether `operation` is open-ended: it runs a user's program, watches something, or waits for such a
/// program to read. If its caller ends it or its time limit is reached, that is no evidence about the
/// service.
pub const fn is_open_ended(operation: Operation) -> bool {
    const OPEN_ENDED: [Operation; 6] =
        [FILE_WATCH, PROCESS_START, PROCESS_CONNECT, PROCESS_INPUT, CODE_EXECUTE, SANDBOX_TRAFFIC];
    let mut at = 0;
    while at < OPEN_ENDED.len() {
        if OPEN_ENDED[at].index() == operation.index() {
            return true;
        }
        at += 1;
    }
    false
}

/// The path of an operation as a template, for spans and logs: it names no sandbox. `None`: its paths
/// are not known.
pub const fn url_template(operation: Operation) -> Option<&'static str> {
    // In the order of the numbers, from 1.
    const TEMPLATES: [Option<&str>; ALL.len()] = [
        Some("/sandboxes"),
        Some("/sandboxes/{sandboxID}/connect"),
        Some("/sandboxes"),
        Some("/sandboxes/{sandboxID}"),
        Some("/sandboxes/{sandboxID}"),
        Some("/sandboxes/{sandboxID}/timeout"),
        Some("/sandboxes/{sandboxID}/pause"),
        Some("/sandboxes/{sandboxID}/resume"),
        Some("/sandboxes/{sandboxID}/refreshes"),
        None,
        Some("/sandboxes/{sandboxID}/logs"),
        Some("/sandboxes/{sandboxID}/fork"),
        Some("/sandboxes/{sandboxID}/snapshots"),
        Some("/sandboxes/{sandboxID}/network"),
        Some("/snapshots"),
        None,
        None,
        Some("/health"),
        None,
        Some("/health"),
        Some("/metrics"),
        Some("/envs"),
        Some("/init"),
        Some("/files"),
        Some("/files"),
        Some("/filesystem.Filesystem/Stat"),
        Some("/filesystem.Filesystem/ListDir"),
        Some("/filesystem.Filesystem/MakeDir"),
        Some("/filesystem.Filesystem/Move"),
        Some("/filesystem.Filesystem/Remove"),
        None,
        Some("/process.Process/List"),
        Some("/process.Process/Start"),
        Some("/process.Process/Connect"),
        Some("/process.Process/Update"),
        None,
        Some("/process.Process/SendSignal"),
        Some("/execute"),
        None,
        None,
        None,
    ];
    match operation.index() {
        0 => None,
        index if index <= TEMPLATES.len() => TEMPLATES[index - 1],
        _ => None,
    }
}

/// The groups of operations that durations are kept for: a histogram for each operation would be
/// thousands of series. [`group`] gives the position in this list.
pub const GROUPS: &[&str] = &["create", "manage", "files", "commands", "code", "sandbox"];

/// The position in [`GROUPS`] of the group of `operation`: 0, starting a sandbox in any way; 1, the rest
/// of the control plane; 2 to 4, files, commands and code; 5, anything else in a sandbox.
pub const fn group(operation: Operation) -> usize {
    const STARTS: [Operation; 4] = [SANDBOX_CREATE, SANDBOX_CONNECT, SANDBOX_RESUME, SANDBOX_FORK];
    let mut at = 0;
    while at < STARTS.len() {
        if STARTS[at].index() == operation.index() {
            return 0;
        }
        at += 1;
    }
    match operation.index() {
        index if index < ENVD_HEALTH.index() => 1,
        index if within(index, FILE_READ, FILE_WATCH) => 2,
        index if within(index, PROCESS_LIST, PROCESS_SIGNAL) => 3,
        index if within(index, CODE_EXECUTE, CODE_OTHER) => 4,
        _ => 5,
    }
}

const fn within(index: usize, first: Operation, last: Operation) -> bool {
    first.index() <= index && index <= last.index()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_in_the_group_of_its_name() {
        for operation in ALL {
            let name = operation.name();
            let expected = match name.split('_').next().unwrap_or_default() {
                "file" => "files",
                "process" => "commands",
                "code" => "code",
                "envd" => "sandbox",
                _ if name == "sandbox_traffic" => "sandbox",
                _ if ["create", "connect", "resume", "fork"]
                    .iter()
                    .any(|start| name.ends_with(start)) =>
                {
                    "create"
                }
                _ => "manage",
            };
            assert_eq!(GROUPS[group(*operation)], expected, "{operation}");
        }
    }

    #[test]
    fn the_numbers_are_dense_from_1_and_the_names_differ() {
        for (at, operation) in ALL.iter().enumerate() {
            assert_eq!(operation.index(), at + 1, "{operation}");
            assert!(ALL[..at].iter().all(|other| other.name() != operation.name()), "{operation}");
        }
    }

    #[test]
    fn templates_are_those_of_their_operations() {
        for (operation, template) in [
            (SANDBOX_CREATE, Some("/sandboxes")),
            (SANDBOX_METRICS, None),
            (SNAPSHOT_LIST, Some("/snapshots")),
            (HEALTH, Some("/health")),
            (FILE_READ, Some("/files")),
            (PROCESS_START, Some("/process.Process/Start")),
            (CODE_EXECUTE, Some("/execute")),
            (SANDBOX_TRAFFIC, None),
            (Operation::CALL, None),
        ] {
            assert_eq!(url_template(operation), template, "{operation}");
        }
    }

    #[test]
    fn what_a_sandbox_responds_to_itself_is_of_another_scope_than_the_control_plane() {
        let of_sandboxes = ["envd_", "file_", "process_", "code_", "sandbox_traffic"];
        for operation in ALL {
            let is_of_sandboxes =
                of_sandboxes.iter().any(|start| operation.name().starts_with(start));
            let expected = if is_of_sandboxes { SANDBOXES } else { CONTROL_PLANE };
            assert_eq!(scope(*operation), expected, "{operation}");
        }
        assert_eq!(scope(Operation::CALL), CONTROL_PLANE);
    }

    #[test]
    fn operations_that_create_or_run_something_are_never_replayed() {
        for operation in
            [SANDBOX_CREATE, SANDBOX_FORK, SANDBOX_SNAPSHOT, PROCESS_START, CODE_EXECUTE]
        {
            assert_eq!(replay(operation), Some(Replay::Unsafe), "{operation}");
        }
    }
}
