use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use sandtower_core::BoxError;

use crate::api::marks::{ATTEMPT_KEY, CALL_KEY, OWNER_KEY, PREFIX};
use crate::{
    CallId, Config, Events, NewSandbox, api::hidden::Hidden, api::route::IDEMPOTENCY_KEY,
    tracking::events::About,
};

/// What a request to create a sandbox asks for, and for which call: an extension of the requests of
/// [`Client::create`](crate::Client::create), from which layers rewrite its body without having
/// to read it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Creation {
    call: CallId,
    /// Whether an `Idempotency-Key` is sent. All attempts then have the same body.
    keyed: bool,
    new: Arc<NewSandbox>,
    begun: Arc<Begun>,
    events: Events,
    hidden: Arc<Hidden>,
}

/// What all attempts of one call share.
#[derive(Debug, Default)]
struct Begun {
    attempts: AtomicU32,
    /// How often the key was changed.
    keys: AtomicU32,
    /// Whether an attempt under the key of now may have created a sandbox.
    unknown: AtomicBool,
}

/// A key of the caller's metadata is one of ours.
#[derive(Debug, thiserror::Error)]
#[error(
    "the metadata key `{0}` is taken: those that begin with `{PREFIX}` are written by sandtower"
)]
struct Reserved(String);

impl Creation {
    /// One call that makes `new`.
    pub(crate) fn new(config: &Config, call: CallId, new: &NewSandbox) -> Result<Self, BoxError> {
        if let Some(key) = new.metadata_keys().find(|key| key.starts_with(PREFIX)) {
            return Err(Reserved(key.to_owned()).into());
        }
        let marked = new.clone().metadata(CALL_KEY, call.to_string());
        let marked = marked.metadata(OWNER_KEY, config.owner_name().as_str());
        let keyed = config.sends_idempotency_keys();
        let hidden = Arc::new(Hidden::key(config.key()).and(new.secrets()));
        let events = config.creation_events().clone();
        Ok(Self { call, keyed, new: Arc::new(marked), begun: Arc::default(), events, hidden })
    }

    /// The call.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// The template that it asks for, by id or alias.
    pub fn template(&self) -> &str {
        self.new.template()
    }

    /// What events say of it.
    pub(crate) fn about(&self) -> About<'_> {
        let (template, framework) = (self.new.template(), self.new.framework_name());
        About { call: self.call, template, framework }
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// What must not be shown, should the service repeat it.
    pub(crate) fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// How many attempts were begun, as far as they are numbered.
    pub(crate) fn attempts(&self) -> u32 {
        self.begun.attempts.load(Ordering::Relaxed)
    }

    /// Rewrites `request` to create a sandbox of another template, for the same call.
    pub fn with_template(&self, template: impl Into<String>, request: &mut Request<Full<Bytes>>) {
        let new = NewSandbox::clone(&self.new).with_template(template);
        let other = Self { new: Arc::new(new), ..self.clone() };
        other.write(request, self.begun.attempts.load(Ordering::Relaxed).saturating_add(1));
        request.extensions_mut().insert(other);
    }

    /// How long the sandbox is to live, in seconds.
    pub(crate) fn lifetime(&self) -> Option<u64> {
        self.new.lifetime()
    }

    pub(crate) fn is_keyed(&self) -> bool {
        self.keyed
    }

    /// The number of the attempt that begins now: never the same twice, however the layers above
    /// repeat the call.
    pub(crate) fn begin(&self) -> u32 {
        self.begun.attempts.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// It is unknown what an attempt created: the next one has to have the same key.
    pub(crate) fn left_unknown(&self) {
        self.begun.unknown.store(true, Ordering::Relaxed);
    }

    /// What an attempt made was released. Its key would only bring that back: the next attempt has
    /// another.
    pub(crate) fn was_released(&self) {
        self.begun.unknown.store(false, Ordering::Relaxed);
        self.begun.keys.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt that was sent left nothing. A server may hold that against its key: the next
    /// attempt has another, unless it is unknown what one before it made.
    pub(crate) fn left_nothing(&self) {
        if !self.begun.unknown.load(Ordering::Relaxed) {
            self.begun.keys.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes on `request` that it is the attempt of that number.
    pub(crate) fn write(&self, request: &mut Request<Full<Bytes>>, attempt: u32) {
        *request.body_mut() = Full::new(self.body(attempt));
        self.write_key(request);
    }

    /// The `Idempotency-Key`, where one is sent.
    pub(crate) fn write_key(&self, request: &mut Request<Full<Bytes>>) {
        if self.keyed {
            let key = match self.begun.keys.load(Ordering::Relaxed) {
                0 => self.call.to_string(),
                after => format!("{}-{after}", self.call),
            };
            // Without the field the request is not taken for one that may be replayed.
            if let Ok(key) = HeaderValue::try_from(key) {
                request.headers_mut().insert(IDEMPOTENCY_KEY, key);
            }
        }
    }

    /// Strings and numbers have a JSON.
    pub(crate) fn body(&self, attempt: u32) -> Bytes {
        if self.keyed {
            return serde_json::to_vec(&*self.new).unwrap_or_default().into();
        }
        let numbered = NewSandbox::clone(&self.new).metadata(ATTEMPT_KEY, attempt.to_string());
        serde_json::to_vec(&numbered).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use sandtower_core::Seed;

    use super::*;

    fn config() -> Config {
        Config::new("e2b_key").unwrap().owner("me".parse().unwrap())
    }

    fn creation(config: &Config) -> Creation {
        let new = NewSandbox::new("base").metadata("user", "u-1");
        Creation::new(config, CallId::new(&Seed::fixed(1)), &new).unwrap()
    }

    fn sent(creation: &Creation, attempt: u32) -> (String, Option<String>) {
        let mut request = Request::new(Full::default());
        creation.write(&mut request, attempt);
        let (head, body) = request.into_parts();
        let key = head.headers.get(IDEMPOTENCY_KEY).map(|key| key.to_str().unwrap().to_owned());
        let body = text(body);
        (body, key)
    }

    fn text(body: Full<Bytes>) -> String {
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        let collect = std::pin::pin!(body.collect());
        let std::task::Poll::Ready(Ok(whole)) = std::future::Future::poll(collect, cx) else {
            panic!("a full body is there")
        };
        String::from_utf8(whole.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_creation_says_for_whom_it_is_beside_the_callers_own_metadata() {
        let creation = creation(&config());
        let (body, key) = sent(&creation, 2);
        let call = creation.call();
        assert_eq!(
            body,
            format!(
                r#"{{"templateID":"base","metadata":{{"sandtower_attempt":"2","sandtower_call":"{call}","sandtower_owner":"me","user":"u-1"}},"envVars":{{}}}}"#
            ),
        );
        assert_eq!(key, None);
    }

    #[test]
    fn with_a_key_all_attempts_are_the_same_until_one_is_known_to_have_left_nothing() {
        let creation = creation(&config().idempotency_keys(true));
        let first = sent(&creation, 1);
        assert_eq!(first.1, Some(creation.call().to_string()));
        assert_eq!(first, sent(&creation, 2));
        assert!(!first.0.contains("sandtower_attempt"), "{}", first.0);
        creation.left_nothing();
        assert_eq!(sent(&creation, 3).1, Some(format!("{}-1", creation.call())));
        creation.left_unknown();
        creation.left_nothing();
        assert_eq!(sent(&creation, 4).1, Some(format!("{}-1", creation.call())));
        creation.was_released();
        assert_eq!(sent(&creation, 5).1, Some(format!("{}-2", creation.call())));
    }

    #[test]
    fn another_template_is_the_same_call() {
        let creation = creation(&config());
        creation.begin();
        let mut request = Request::new(Full::default());
        creation.with_template("spare", &mut request);
        let other = request.extensions().get::<Creation>().unwrap().clone();
        assert_eq!(other.call(), creation.call());
        let body = text(request.into_body());
        assert!(
            body.contains(r#""templateID":"spare""#) && body.contains(r#"attempt":"2""#),
            "{body}"
        );
        assert_eq!(other.begin(), 2);
    }

    #[test]
    fn the_callers_metadata_cannot_be_taken_for_ours() {
        let new = NewSandbox::new("base").metadata("sandtower_call", "mine");
        let error = Creation::new(&config(), CallId::new(&Seed::fixed(1)), &new).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the metadata key `sandtower_call` is taken: those that begin with `sandtower_` are written by sandtower",
        );
    }
}
