use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandtower::core::{BoxError, Tick};

use super::secrets::{Hashed, random};

/// How long a session lasts: a working day and a night's duty.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3_600);
/// Sessions at a time: the oldest makes room.
const MOST: usize = 64;

/// The browsers that have logged in.
#[derive(Default)]
pub(super) struct Sessions {
    all: Mutex<VecDeque<Kept>>,
}

struct Kept {
    id: Hashed,
    csrf: String,
    began: Tick,
}

/// A browser that has logged in.
#[derive(Clone)]
pub(in crate::admin) struct Session {
    /// Names it in the audit log.
    pub(in crate::admin) name: String,
    /// What its forms show, so that a page from elsewhere cannot send them.
    pub(in crate::admin) csrf: String,
}

impl Sessions {
    /// Begins one: the value of its cookie.
    pub(super) fn begin(&self) -> Result<String, BoxError> {
        let (cookie, csrf) = (random()?, random()?);
        let mut all = self.live();
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(Kept { id: Hashed::of(&cookie), csrf, began: Tick::now() });
        Ok(cookie)
    }

    /// The session with this cookie.
    pub(super) fn find(&self, cookie: &str) -> Option<Session> {
        let all = self.live();
        let found = all.iter().find(|kept| kept.id.is(cookie))?;
        Some(Session { name: found.id.name(), csrf: found.csrf.clone() })
    }

    /// Ends the session with this cookie.
    pub(super) fn end(&self, cookie: &str) {
        self.live().retain(|kept| !kept.id.is(cookie));
    }

    fn live(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        let now = Tick::now();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|kept| now.since(kept.began) < LIFETIME);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_logout_by_time_and_when_there_are_too_many() {
        let sessions = Sessions::default();
        let cookie = sessions.begin().unwrap();
        assert!(sessions.find(&cookie).is_some_and(|found| !cookie.contains(&found.csrf)));
        assert!(sessions.find("").is_none());
        sessions.end(&cookie);
        assert!(sessions.find(&cookie).is_none());
        let cookie = sessions.begin().unwrap();
        tokio::time::advance(LIFETIME).await;
        assert!(sessions.find(&cookie).is_none());
        let cookie = sessions.begin().unwrap();
        (0..MOST).for_each(|_| drop(sessions.begin().unwrap()));
        assert!(sessions.find(&cookie).is_none());
    }
}
