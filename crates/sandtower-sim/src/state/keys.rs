//! Keys under which a creation may be sent again without making a second sandbox.

use http::HeaderMap;

use super::*;

/// Keys that are remembered, of all teams; the oldest are forgotten first.
const MAX_KEYS: usize = 10_000;

/// Whose key it is, and the key.
pub(crate) type Key = (Arc<str>, String);

/// The key that a request gives, if it gives one.
pub(crate) fn key(headers: &HeaderMap, team: &Arc<str>) -> Result<Option<Key>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let value = value.to_str().unwrap_or_default();
    if (1..=255).contains(&value.len()) && value.as_bytes().iter().all(allowed) {
        return Ok(Some((Arc::clone(team), value.to_owned())));
    }
    Err(ApiError::bad_request("Idempotency-Key must be 1 to 255 of a-z, 0-9 and -"))
}

/// What tells one body from another, however its fields are ordered.
pub(crate) fn fingerprint(body: &[u8]) -> u64 {
    // Without the parser's option to keep their order, an object's keys are sorted.
    let value = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    number_of(&value.to_string())
}

/// The creations that have a key.
#[derive(Default)]
pub(crate) struct Keys {
    known: BTreeMap<Key, Known>,
    /// In the order in which they came.
    order: VecDeque<Key>,
}

struct Known {
    fingerprint: u64,
    outcome: Outcome,
}

pub(crate) enum Outcome {
    InProgress,
    /// It gave this response.
    Created(Bytes),
    /// It failed for certain: the key is as good as new.
    Failed,
    /// It was dropped, and what became of it is not known.
    Unknown,
}

impl Keys {
    /// Begins a creation: `None` if it is the key's first, else the response that the first one got.
    pub(crate) fn begin(&mut self, key: &Key, fingerprint: u64) -> Result<Option<Bytes>, ApiError> {
        let Some(known) = self.known.get_mut(key) else {
            self.remember(key.clone(), fingerprint);
            return Ok(None);
        };
        if matches!(known.outcome, Outcome::Failed) {
            *known = Known { fingerprint, outcome: Outcome::InProgress };
            return Ok(None);
        }
        if known.fingerprint != fingerprint {
            let message = "The idempotency key was used with a different request";
            let error = ApiError::new(422, message);
            return Err(error.code("idempotency_request_mismatch"));
        }
        match &known.outcome {
            Outcome::Created(answer) => Ok(Some(answer.clone())),
            Outcome::InProgress | Outcome::Failed => {
                let message = "A request with this idempotency key is in progress";
                Err(ApiError::new(409, message).code("idempotency_in_progress"))
            }
            Outcome::Unknown => {
                let message = "The outcome of the request with this idempotency key is unknown";
                Err(ApiError::new(409, message).code("idempotency_outcome_unknown"))
            }
        }
    }

    /// Notes what became of a key's creation.
    pub(crate) fn complete(&mut self, key: &Key, outcome: Outcome) {
        if let Some(known) = self.known.get_mut(key) {
            known.outcome = outcome;
        }
    }

    fn remember(&mut self, key: Key, fingerprint: u64) {
        if self.order.len() >= MAX_KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.known.insert(key, Known { fingerprint, outcome: Outcome::InProgress });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: usize) -> Key {
        (Arc::from("e2b_team"), name.to_string())
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut keys = Keys::default();
        for n in 0..2 * MAX_KEYS {
            assert_eq!(keys.begin(&key(n), 1).unwrap(), None);
            if n % 3 == 0 {
                keys.complete(&key(n), Outcome::Failed);
            }
        }
        assert_eq!((keys.known.len(), keys.order.len()), (MAX_KEYS, MAX_KEYS));
        assert_eq!(keys.begin(&key(1), 1).unwrap(), None, "forgotten");
        assert!(keys.begin(&key(2 * MAX_KEYS - 1), 1).is_err(), "in progress");
    }

    #[test]
    fn the_order_of_fields_makes_no_other_request() {
        assert_eq!(fingerprint(br#"{"a": 1, "b": 2}"#), fingerprint(br#"{"b":2,"a":1}"#));
        assert_ne!(fingerprint(br#"{"a": 1}"#), fingerprint(br#"{"a": 2}"#));
    }
}
