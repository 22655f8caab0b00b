//! Progress on standard error.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use load_test::{Status, Watch};
use sandtower::stack::Handles;
use sandtower_telemetry::Registry;

/// A bar with the time left and the status line on a terminal; plain lines elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    runs: usize,
    over: usize,
    began: Instant,
    shown: Option<Instant>,
    terminal: bool,
    drawn: bool,
    registry: Registry,
}

/// How often a bar is drawn, and how often a plain line is written during a run.
const DRAWS: Duration = Duration::from_millis(100);
const WRITES: Duration = Duration::from_secs(5);
/// The number of runs up to which each one's end gets a plain line.
const FEW: usize = 30;
const CELLS: usize = 24;
/// The name of the stack in metrics.
const STACK: &str = "load_test";

impl Progress {
    /// The stack of each run is in `registry` until the next.
    pub(crate) fn new(runs: usize, registry: Registry) -> Self {
        let terminal = stderr().is_terminal();
        Self { runs, over: 0, began: now(), shown: None, terminal, drawn: false, registry }
    }

    /// Clears the bar for what is printed next.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.write("\x1b[1A\x1b[2K\x1b[1A\x1b[2K\r");
        }
    }

    fn is_time(&mut self, pause: Duration) -> bool {
        let now = now();
        let is_time = self.shown.is_none_or(|shown| now.duration_since(shown) >= pause);
        if is_time {
            self.shown = Some(now);
        }
        is_time
    }

    fn share(&self, of_this_run: f64) -> f64 {
        (self.over as f64 + of_this_run) / self.runs.max(1) as f64
    }

    fn left(&self, share: f64) -> String {
        // The first moments do not predict the rest.
        if share < 0.01 {
            return String::new();
        }
        let took = now().duration_since(self.began).as_secs_f64();
        let left = (took * (1.0 - share) / share).ceil();
        format!(", about {left:.0} s left")
    }

    fn draw(&mut self, status: &Status) {
        let share = self.share(status.progress);
        let full = (share * CELLS as f64) as usize;
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(CELLS - full.min(CELLS)));
        let left = self.left(share);
        self.clear();
        // Lines longer than the terminal is wide are truncated, or the next could not be drawn over them.
        let lines = format!(
            "\x1b[?7l[{bar}] {:.0} %{left}: {}, seed {}\n{status}\n\x1b[?7h",
            100.0 * share,
            status.policy.name(),
            status.seed
        );
        self.write(&lines);
        self.drawn = true;
    }

    fn line(&mut self, status: &Status) {
        let share = self.share(status.progress);
        let left = if share < 1.0 { self.left(share) } else { String::new() };
        let (policy, seed) = (status.policy.name(), status.seed);
        self.write(&format!("{:.0} %{left}: {policy}, seed {seed}: {status}\n", 100.0 * share));
    }

    fn write(&mut self, text: &str) {
        // Without a standard error there is no place to report that.
        let _ = stderr().write_all(text.as_bytes());
    }
}

impl Watch for Progress {
    fn stack(&mut self, handles: &Handles) {
        self.registry.remove(STACK);
        // Its name is free.
        let _ = self.registry.add(STACK, handles.clone());
    }

    fn look(&mut self, status: &Status) {
        if self.terminal && self.is_time(DRAWS) {
            self.draw(status);
        } else if !self.terminal && self.shown.is_none() {
            self.shown = Some(now());
        } else if !self.terminal && self.is_time(WRITES) {
            self.line(status);
        }
    }

    fn over(&mut self, status: &Status) {
        let status = Status { progress: 1.0, ..status.clone() };
        if self.terminal {
            self.draw(&status);
        } else if self.runs <= FEW || self.is_time(WRITES) {
            self.line(&status);
        }
        self.over += 1;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "real time for the user, whatever the clock of the run"
)]
fn now() -> Instant {
    Instant::now()
}
