use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::account::Millis;

/// The time of the wall: what is counted by it outlives the process, and days are its days.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Millis + Send + Sync>);

impl Clock {
    pub(super) fn wall() -> Self {
        Self::new(wall)
    }

    pub(super) fn new(now: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> Millis {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[expect(clippy::disallowed_methods, reason = "days, and what outlives the process")]
fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX / 2)
}
