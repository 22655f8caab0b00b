use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Method, Request};
use sandtower_core::{Rng, Seed};
use tower_layer::Layer;
use tower_service::Service;

use crate::is_idempotent;

/// Makes requests safe to replay for services that honour `Idempotency-Key`: gives each request a key
/// of its own, which all of its attempts carry.
///
/// Place it above the retry. Requests of a method that is not idempotent, such as POST, get a key: 32
/// random hexadecimal digits. A key that the caller has set is kept. Requests of idempotent methods
/// pass unchanged.
///
/// [`HttpClassify`](crate::HttpClassify) takes a request that went through this layer for one that is
/// [safe to replay](sandtower_core::Replay). **Use it only for services that honour the key**: any
/// other would do the work twice. A key that a caller sets without this layer changes nothing.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use sandtower_http::IdempotencyKeyLayer;
/// use sandtower_retry::Config;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), sandtower_core::BoxError> {
/// # let keys = Arc::new(Mutex::new(Vec::new()));
/// # let seen = Arc::clone(&keys);
/// # let flaky = service_fn(move |request: Request<Full<Bytes>>| {
/// #     let mut seen = seen.lock().unwrap();
/// #     seen.push(request.headers()["idempotency-key"].clone());
/// #     let lost = seen.len() == 1;
/// #     async move {
/// #         match lost {
/// #             true => Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
/// #             false => Ok(Response::new(Empty::<Bytes>::new())),
/// #         }
/// #     }
/// # });
/// let service = ServiceBuilder::new()
///     .layer(IdempotencyKeyLayer::new())
///     .layer(sandtower_http::retry_layer(Config::recommended()))
///     .service(flaky);
///
/// // The first response is lost. The second attempt has the same key.
/// service.oneshot(Request::post("/payments").body(Full::default())?).await?;
/// # let keys = keys.lock().unwrap();
/// assert_eq!(keys[0], keys[1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "Idempotency-Key")]
pub struct IdempotencyKeyLayer {
    header: HeaderName,
    seed: Seed,
}

/// The field of the IETF draft `httpapi-idempotency-key-header`.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

impl IdempotencyKeyLayer {
    /// Keys in the header field `Idempotency-Key`.
    pub fn new() -> Self {
        Self { header: IDEMPOTENCY_KEY, seed: Seed::random() }
    }

    /// Keys in another header field, such as PayPal's `PayPal-Request-Id`.
    #[must_use]
    pub fn header(mut self, header: HeaderName) -> Self {
        self.header = header;
        self
    }

    /// Draws keys from `seed`, for runs that must be the same each time.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }
}

impl Default for IdempotencyKeyLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for IdempotencyKeyLayer {
    type Service = IdempotencyKey<S>;

    fn layer(&self, inner: S) -> IdempotencyKey<S> {
        IdempotencyKey { inner, header: self.header.clone(), seed: self.seed.clone() }
    }
}

/// A service whose requests carry an idempotency key: see [`IdempotencyKeyLayer`].
#[derive(Clone, Debug)]
pub struct IdempotencyKey<S> {
    inner: S,
    header: HeaderName,
    seed: Seed,
}

/// A request that the service serves once, however often it is sent: an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServedOnce;

impl<S, B> Service<Request<B>> for IdempotencyKey<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if !is_idempotent(request.method()) && *request.method() != Method::CONNECT {
            if !request.headers().contains_key(&self.header) {
                let key = key(&mut self.seed.rng());
                request.headers_mut().insert(self.header.clone(), key);
            }
            request.extensions_mut().insert(ServedOnce);
        }
        self.inner.call(request)
    }
}

fn key(rng: &mut Rng) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits: [u8; 32] = std::array::from_fn(|_| DIGITS[rng.usize(..DIGITS.len())]);
    // Digits are valid in a header field.
    HeaderValue::from_bytes(&digits).unwrap_or_else(|_| HeaderValue::from_static("0"))
}
