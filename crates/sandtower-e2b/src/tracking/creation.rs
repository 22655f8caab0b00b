use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use sandtower_core::BoxError;

use crate::api::marks::{ATTEMPT_KEY, CALL_KEY, OWNER_KEY, PREFIX};
use crate::{
    CallId, Config, Events, NewSandbox, api::hidden::Hidden, api::raw_sandbox::RawSandbox,
    api::route::IDEMPOTENCY_KEY, tracking::events::About,
};

/// What a request to create a sandbox asks for, and for which call: an extension of the requests of
/// [`Client::create`](crate::Client::create) and [`RawCreation`](crate::RawCreation), from which layers
/// rewrite its body without having to read it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Creation {
    call: CallId,
    keyed: Keyed,
    is_ahead: bool,
    new: Arc<Asked>,
    begun: Arc<Begun>,
    events: Events,
    hidden: Arc<Hidden>,
}

/// Whether an `Idempotency-Key` is sent. All attempts then have the same body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keyed {
    No,
    /// By a key of ours, made of the call's id.
    ByUs,
    /// By a key of the caller's, which stays as it is.
    ByCaller,
}

/// The sandbox that is asked for.
#[derive(Clone, Debug)]
enum Asked {
    New(NewSandbox),
    Raw(RawSandbox),
}

impl Asked {
    fn marked(self, key: &str, value: String) -> Self {
        match self {
            Self::New(new) => Self::New(new.metadata(key, value)),
            Self::Raw(raw) => Self::Raw(raw.metadata(key, &value)),
        }
    }

    fn with_template(self, template: impl Into<String>) -> Self {
        match self {
            Self::New(new) => Self::New(new.with_template(template)),
            Self::Raw(raw) => Self::Raw(raw.with_template(template.into())),
        }
    }

    fn template(&self) -> &str {
        match self {
            Self::New(new) => new.template(),
            Self::Raw(raw) => raw.template(),
        }
    }

    /// Strings and numbers have a JSON.
    fn to_json(&self) -> Bytes {
        let json = match self {
            Self::New(new) => serde_json::to_vec(new),
            Self::Raw(raw) => serde_json::to_vec(raw),
        };
        json.unwrap_or_default().into()
    }
}

/// What all attempts of one call share.
#[derive(Debug, Default)]
struct Begun {
    attempts: AtomicU32,
    /// How often the key was changed.
    keys: AtomicU32,
    /// Whether an attempt with the current key may have created a sandbox.
    unknown: AtomicBool,
}

/// A key of the caller's metadata has the reserved prefix.
#[derive(Debug, thiserror::Error)]
#[error("the metadata key `{0}` is reserved: choose one that does not begin with `{PREFIX}`")]
struct Reserved(String);

impl Creation {
    /// A call that creates `new`.
    pub(crate) fn new(config: &Config, call: CallId, new: &NewSandbox) -> Result<Self, BoxError> {
        if let Some(key) = new.metadata_keys().find(|key| key.starts_with(PREFIX)) {
            return Err(Reserved(key.to_owned()).into());
        }
        let keyed = if config.sends_idempotency_keys() { Keyed::ByUs } else { Keyed::No };
        let hidden = Hidden::key(config.key()).and(new.secrets());
        Ok(Self::marked(config, call, keyed, Asked::New(new.clone()), hidden))
    }

    /// One call that asks for `raw`; under a key of its caller's, which names the call: a second call with
    /// this key has to be the same to the byte.
    pub(crate) fn raw(config: &Config, key: Option<&HeaderValue>, raw: RawSandbox) -> Self {
        let (keyed, call) = match key {
            Some(key) => (Keyed::ByCaller, CallId::of_key(key.as_bytes())),
            None => (Keyed::No, config.next_call()),
        };
        let hidden = Hidden::key(config.key()).and(raw.secrets());
        Self::marked(config, call, keyed, Asked::Raw(raw), hidden)
    }

    fn marked(config: &Config, call: CallId, keyed: Keyed, new: Asked, hidden: Hidden) -> Self {
        let new = new.marked(CALL_KEY, call.to_string());
        let new = Arc::new(new.marked(OWNER_KEY, config.owner_name().as_str().to_owned()));
        let events = config.creation_events().clone();
        let (is_ahead, begun, hidden) = (false, Arc::default(), Arc::new(hidden));
        Self { call, keyed, is_ahead, new, begun, events, hidden }
    }

    /// It is made ahead of demand: no caller waits for it, so a lost one is not sent again, and leaves one sandbox
    /// at most.
    pub(crate) fn ahead(self) -> Self {
        Self { is_ahead: true, ..self }
    }

    pub(crate) fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    /// The call.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// The template, by id or alias.
    pub fn template(&self) -> &str {
        self.new.template()
    }

    /// The request as a body of E2B's API, with the marks that all attempts have. It may contain
    /// secrets: the values of environment variables.
    pub fn to_json(&self) -> Bytes {
        self.new.to_json()
    }

    /// The labels of its events.
    pub(crate) fn about(&self) -> About<'_> {
        let framework = match &*self.new {
            Asked::New(new) => new.framework_name(),
            Asked::Raw(_) => None,
        };
        let template = self.new.template();
        About { call: self.call, template, framework }
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// The values that must not be shown.
    pub(crate) fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// The number of attempts so far, if they are numbered.
    pub(crate) fn attempts(&self) -> u32 {
        self.begun.attempts.load(Ordering::Relaxed)
    }

    /// Rewrites `request` to create a sandbox of another template, for the same call.
    pub fn with_template<Q: From<Full<Bytes>>>(
        &self,
        template: impl Into<String>,
        request: &mut Request<Q>,
    ) {
        let new = Asked::clone(&self.new).with_template(template);
        let other = Self { new: Arc::new(new), ..self.clone() };
        other.write(request, self.begun.attempts.load(Ordering::Relaxed).saturating_add(1));
        request.extensions_mut().insert(other);
    }

    /// The lifetime of the sandbox, in seconds.
    pub(crate) fn lifetime(&self) -> Option<u64> {
        match &*self.new {
            Asked::New(new) => new.lifetime(),
            Asked::Raw(raw) => raw.lifetime(),
        }
    }

    pub(crate) fn is_keyed(&self) -> bool {
        self.keyed != Keyed::No
    }

    /// Whether the key is the caller's: its sandbox is then never killed as an orphan. The service returns
    /// the same sandbox for each call with the key, so one that failed here may belong to an earlier call,
    /// and the caller of one that is gone gets it by repeating the call.
    pub fn is_keyed_by_caller(&self) -> bool {
        self.keyed == Keyed::ByCaller
    }

    /// The number of the next attempt. Numbers never repeat, however the layers above repeat the call.
    pub(crate) fn begin(&self) -> u32 {
        self.begun.attempts.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// It is unknown what an attempt created: the next one must use the same key.
    pub(crate) fn left_unknown(&self) {
        self.begun.unknown.store(true, Ordering::Relaxed);
    }

    /// The sandbox of an attempt was released. The same key would return it again, so the next attempt
    /// uses another.
    pub(crate) fn was_released(&self) {
        self.begun.unknown.store(false, Ordering::Relaxed);
        self.begun.keys.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt that was sent created nothing. A server may remember that for its key, so the next
    /// attempt uses another, unless the result of an earlier one is unknown.
    pub(crate) fn left_nothing(&self) {
        if !self.begun.unknown.load(Ordering::Relaxed) {
            self.begun.keys.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes on `request` that it is the attempt of that number.
    pub(crate) fn write<Q: From<Full<Bytes>>>(&self, request: &mut Request<Q>, attempt: u32) {
        *request.body_mut() = Full::new(self.body(attempt)).into();
        self.write_key(request);
    }

    /// The `Idempotency-Key`, where one of ours is sent.
    pub(crate) fn write_key<Q>(&self, request: &mut Request<Q>) {
        if self.keyed == Keyed::ByUs {
            let key = match self.begun.keys.load(Ordering::Relaxed) {
                0 => self.call.to_string(),
                after => format!("{}-{after}", self.call),
            };
            // Without the header the request is not classified as replayable.
            if let Ok(key) = HeaderValue::try_from(key) {
                request.headers_mut().insert(IDEMPOTENCY_KEY, key);
            }
        }
    }

    pub(crate) fn body(&self, attempt: u32) -> Bytes {
        if self.is_keyed() {
            return self.new.to_json();
        }
        Asked::clone(&self.new).marked(ATTEMPT_KEY, attempt.to_string()).to_json()
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
            panic!("the body is complete")
        };
        String::from_utf8(whole.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_creation_adds_its_marks_to_the_callers_metadata() {
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
    fn with_a_key_all_attempts_are_identical_until_one_is_known_to_have_created_nothing() {
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
    fn another_template_belongs_to_the_same_call() {
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
    fn the_callers_metadata_cannot_use_the_reserved_prefix() {
        let new = NewSandbox::new("base").metadata("sandtower_call", "mine");
        let error = Creation::new(&config(), CallId::new(&Seed::fixed(1)), &new).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the metadata key `sandtower_call` is reserved: choose one that does not begin with `sandtower_`",
        );
    }
}
