use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use sandtower_core::{BoxError, Classify, Tick, Verdict, judge};

use crate::api::error::Causes;
use crate::api::marks::POOL_KEY;
use crate::api::raw_sandbox::RawSandbox;
use crate::api::route::idempotency_key;
use crate::tracking::events::Failure;
use crate::{CallId, Config, Creation, E2bClassify, ErrorBody, ErrorResponse, Sandbox};

/// The creation that a raw `POST /sandboxes` asks for, tracked like those of
/// [`Client::create`](crate::Client::create): for a proxy, which gets its requests from other clients.
///
/// The call is marked in the metadata of the new sandbox, as is each attempt; every field that is not
/// understood stays as it came. An `Idempotency-Key` of the caller stays, too; the mark of the call is then
/// made of it, and attempts have none, so that a second call with the key has the same body. Such a sandbox
/// is never killed as an orphan: it may belong to an earlier call with the key, and its caller gets it by
/// repeating the call.
///
/// What becomes of the call is reported as [events](crate::Events). The response carries an
/// [`Unclaimed`](crate::Unclaimed), unless the caller has a key: its sandbox is killed unless it is claimed.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use sandtower_core::BoxError;
/// use sandtower_e2b::{Config, RawCreation};
///
/// let config = Config::new("e2b_0123")?;
/// let request = Request::post("https://api.e2b.app/sandboxes")
///     .body(Bytes::from(r#"{"templateID":"base","autoPause":true}"#))?;
/// let (creation, request) = RawCreation::begin::<Full<Bytes>>(&config, request);
/// // It is sent through a `Tracking` layer; its result ends the creation.
/// # drop(request);
/// let result: Result<Response<()>, BoxError> = Err("connection reset".into());
/// if let Some(creation) = creation {
///     creation.end(&result);
/// }
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Debug)]
#[must_use = "report how it ended"]
pub struct RawCreation {
    creation: Creation,
    began: Tick,
}

impl RawCreation {
    /// Marks `request` as a creation of its own; its body is the whole body that it came with.
    ///
    /// `None`: the request is as it was, since it cannot be tracked. Its body is not a JSON object with a
    /// template, or it has the marks of a client that tracks its own creations.
    pub fn begin<Q: From<Full<Bytes>>>(
        config: &Config,
        request: Request<Bytes>,
    ) -> (Option<Self>, Request<Q>) {
        Self::begin_marked(config, request, None)
    }

    /// The same for a sandbox that is created ahead of demand: `stock` is written into its metadata under
    /// [`POOL_KEY`](crate::POOL_KEY), by which a later process finds the stock that this one leaves behind. If
    /// its response is lost and its sandbox is not found, an [`E2bReconcile`](crate::E2bReconcile) does not
    /// have it sent again: it leaves one sandbox at most.
    pub fn begin_ahead<Q: From<Full<Bytes>>>(
        config: &Config,
        request: Request<Bytes>,
        stock: &str,
    ) -> (Option<Self>, Request<Q>) {
        Self::begin_marked(config, request, Some(stock))
    }

    fn begin_marked<Q: From<Full<Bytes>>>(
        config: &Config,
        request: Request<Bytes>,
        stock: Option<&str>,
    ) -> (Option<Self>, Request<Q>) {
        let Some(raw) = RawSandbox::parse(request.body()) else {
            return (None, request.map(|body| Full::new(body).into()));
        };
        let key = idempotency_key(&request);
        let creation = match stock {
            Some(stock) => Creation::raw(config, key, raw.metadata(POOL_KEY, stock)).ahead(),
            None => Creation::raw(config, key, raw),
        };
        let body = creation.body(1);
        let mut request = request.map(|_| Full::new(body).into());
        // The body has another length now.
        request.headers_mut().remove(header::CONTENT_LENGTH);
        request.extensions_mut().insert(creation.call());
        request.extensions_mut().insert(creation.clone());
        creation.events().started(creation.about());
        (Some(Self { creation, began: Tick::now() }), request)
    }

    /// The call.
    pub fn call(&self) -> CallId {
        self.creation.call()
    }

    /// Whether the caller has named the call by an `Idempotency-Key`: it gets the same sandbox again by
    /// repeating the call.
    pub fn is_keyed(&self) -> bool {
        self.creation.is_keyed_by_caller()
    }

    /// The number of attempts so far: 0 if the call was rejected before the first one.
    pub fn attempts(&self) -> u32 {
        self.creation.attempts()
    }

    /// Reports how the call ended. A call whose caller went away has no end, as with the client.
    pub fn end<B>(self, result: &Result<Response<B>, BoxError>) {
        let (creation, took) = (&self.creation, Tick::now().since(self.began));
        let attempt = creation.attempts().max(1);
        let fail = |verdict, status, error: &dyn std::fmt::Display| {
            let failure = Failure { attempt, verdict, status, error, took };
            if creation.attempts() == 0 {
                // No attempt was reported by itself.
                creation.events().attempt_failed(creation.about(), &failure);
            }
            creation.events().failed(creation.about(), &failure);
        };
        let verdict = self.verdict(result);
        match result {
            Ok(response) => match response.extensions().get::<Sandbox>() {
                Some(sandbox) => {
                    creation.events().succeeded(creation.about(), sandbox.id(), attempt, took);
                }
                None => {
                    let status = response.status();
                    let body = response.extensions().get::<ErrorBody>().cloned();
                    let body = creation.hidden().hide(body.unwrap_or_default());
                    let explanation = None;
                    let error = ErrorResponse { status, body, verdict, attempt, explanation };
                    fail(verdict, status.as_u16(), &error);
                }
            },
            Err(error) => fail(verdict, 0, &Causes(&**error)),
        }
    }

    fn verdict<B>(&self, result: &Result<Response<B>, BoxError>) -> Verdict {
        judge(&E2bClassify.classify(&Request::new(())), result.as_ref())
    }
}
