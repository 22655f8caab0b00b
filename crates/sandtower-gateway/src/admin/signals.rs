use std::io;

/// What asks the program to end, or to read its configuration again.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen for `SIGINT`, `SIGTERM` and `SIGHUP`.
    ///
    /// # Errors
    ///
    /// The system does not let it.
    pub fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to end; calls `reload` at each `SIGHUP` before it.
    pub async fn until_end(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => reload(),
            }
        }
    }

    /// Waits for a signal to end.
    pub async fn end(&mut self) {
        self.until_end(|| {}).await;
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Begins to listen for Ctrl-C.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for Ctrl-C.
    pub async fn until_end(&mut self, _reload: impl Fn()) {
        drop(tokio::signal::ctrl_c().await);
    }

    /// Waits for Ctrl-C.
    pub async fn end(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
