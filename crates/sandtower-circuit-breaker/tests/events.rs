//! What the log tells: one event for each change of state, none for a call or a rejection.

mod support;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use support::{OPEN, call, classic, rejection, trip};
use tokio::time::advance;

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_of_state_is_one_event_with_its_numbers() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let (_, service, handle) = classic();
    trip(&service, &handle).await;
    rejection(call(&service).await);
    advance(OPEN).await;
    call(&service).await.unwrap();

    let event = |level: &str, what: &str, fields: &str| {
        format!("{level} sandtower::circuit_breaker: {what} name=\"E2B\" {fields}")
    };
    let opened = "from=\"closed\" to=\"open\" forced=false failed=5 of=5 retry_in_ms=60000";
    let probing = "from=\"open\" to=\"half_open\" forced=false failed=5 of=5";
    let closed = "from=\"half_open\" to=\"closed\" forced=false failed=0 of=0";
    assert_eq!(
        log.lines(),
        [
            event("WARN", "opened", opened),
            event("INFO", "changed its state", probing),
            event("INFO", "changed its state", closed),
        ],
    );
}
