use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sandtower");

/// A gateway in a process of its own, killed with this.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Serves with these arguments, once it listens.
    pub(crate) fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::start_by(Command::new(PROGRAM), arguments)
    }

    /// The same, where no file of it can become longer than this many blocks of 512 bytes.
    pub(crate) fn start_with_short_files<'a>(
        blocks: u32,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut shell = Command::new("sh");
        // Without the signal, a write beyond the limit is an error, as on a disk that is full.
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        shell.args(["-c", &limited, PROGRAM]);
        Self::start_by(shell, arguments)
    }

    fn start_by<'a>(mut program: Command, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--set", "upstream.proxy=none"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut read = BufReader::new(child.stderr.take().unwrap()).lines();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let address = loop {
            let line =
                read.next().unwrap_or_else(|| panic!("{:?}", lines.lock().unwrap())).unwrap();
            lines.lock().unwrap().push(line.clone());
            if let Some((_, address)) = line.split_once("listening on ") {
                let (_, address) = address.split_once("://").unwrap();
                break address.parse().unwrap();
            }
        };
        // Read on: the process must not block on its log.
        let all = Arc::clone(&lines);
        std::thread::spawn(move || {
            read.map_while(Result::ok).for_each(|it| all.lock().unwrap().push(it))
        });
        Self { child, address, lines }
    }

    /// Whether it has said this on its standard error.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// Sends it a signal, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the program to its end.
pub(crate) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}
