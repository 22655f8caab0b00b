use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderName, Request};
use sandtower_core::{
    BoxError, Classify, ClassifyResponse, EndOfStream, HasInfo, Patience, Priority, RequestInfo,
    SetDeadline, Tenant, Tenants, Tick, Verdict,
};

/// Finds out for whom a request is sent, and how urgent it is.
///
/// | | the first that there is of |
/// |---|---|
/// | tenant | the extension [`Tenant`]; what the classifier says; the [header](Self::tenant_header) |
/// | priority | the extension [`Priority`]; the [header](Self::priority_header); what the classifier says |
/// | patience | the extension [`Patience`]; what the classifier says |
///
/// The priority of a call is capped at that of its tenant, whatever its source: see [`Tenants::cap`]. A value of the header for priorities other than `interactive`, `batch` and
/// `background` is ignored; the first one is reported by a `WARN` event of the target
/// `sandtower::http`, `priority header ignored: its value is invalid`, with the field `header`.
///
/// Use only headers that callers cannot set at will, or where that does no harm: a caller that may name
/// any tenant uses the limits of any tenant. The table of tenants keeps a hash of the header's value
/// and no value, and the name of a tenant is its id until it is [set](Tenants::set).
///
/// ```
/// use http::{HeaderName, Request};
/// use sandtower_core::{Classify, HasInfo, Priority, TenantProfile, Tenants};
/// use sandtower_http::{Callers, HttpClassify};
///
/// let tenants = Tenants::default();
/// let acme = tenants.set("acme", TenantProfile::new("Acme").highest(Priority::Batch))?;
/// let classify = Callers::new(tenants)
///     .tenant_header(HeaderName::from_static("x-tenant"))
///     .priority_header(HeaderName::from_static("x-priority"))
///     .classify(HttpClassify::default());
///
/// let request = Request::get("/").header("x-tenant", "acme").header("x-priority", "interactive");
/// let classifier = classify.classify(&request.body(())?);
/// assert_eq!(classifier.info().tenant, acme);
/// assert_eq!(classifier.info().priority, Priority::Batch, "it may have no higher one");
/// # Ok::<(), sandtower_core::BoxError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it classifies requests"]
pub struct Callers {
    tenants: Tenants,
    tenant_header: Option<HeaderName>,
    priority_header: Option<HeaderName>,
    /// Whether an invalid value was reported.
    reported: Arc<AtomicBool>,
}

impl Callers {
    /// Finds tenants in this table, and nothing in headers.
    pub fn new(tenants: Tenants) -> Self {
        Self { tenants, tenant_header: None, priority_header: None, reported: Arc::default() }
    }

    /// The value of this header is the key of the tenant.
    pub fn tenant_header(mut self, name: HeaderName) -> Self {
        self.tenant_header = Some(name);
        self
    }

    /// The value of this header is the priority: `interactive`, `batch` or `background`.
    pub fn priority_header(mut self, name: HeaderName) -> Self {
        self.priority_header = Some(name);
        self
    }

    /// Classifies as `inner` does, and finds out the rest.
    pub fn classify<C>(self, inner: C) -> ByCaller<C> {
        ByCaller { inner, callers: self }
    }

    /// The info of `request` that is `info` otherwise.
    pub fn info<B>(&self, request: &Request<B>, info: RequestInfo) -> RequestInfo {
        let extensions = request.extensions();
        let known = Some(info.tenant).filter(|tenant| *tenant != Tenant::ALL);
        let tenant = extensions.get().copied().or(known).or_else(|| self.tenant(request));
        let tenant = tenant.unwrap_or_default();
        let wanted = extensions.get().copied().or_else(|| self.priority(request));
        let patience = extensions.get::<Patience>().copied().or(info.patience);
        let priority = self.tenants.cap(tenant, wanted.unwrap_or(info.priority));
        info.tenant(tenant).priority(priority).patience(patience)
    }

    fn tenant<B>(&self, request: &Request<B>) -> Option<Tenant> {
        let key = request.headers().get(self.tenant_header.as_ref()?)?.as_bytes();
        if key.is_empty() {
            return None;
        }
        let name = self.tenants.id(key).to_string();
        Some(self.tenants.seen(key, &name))
    }

    fn priority<B>(&self, request: &Request<B>) -> Option<Priority> {
        let header = self.priority_header.as_ref()?;
        let value = request.headers().get(header)?;
        let priority = value.to_str().ok().and_then(|value| {
            let value = value.trim();
            Priority::ALL.into_iter().find(|one| value.eq_ignore_ascii_case(one.label()))
        });
        if priority.is_none() && !self.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "sandtower::http",
                header = header.as_str(),
                "priority header ignored: its value is invalid"
            );
        }
        priority
    }
}

/// A classifier that adds the tenant and the priority of a request: see [`Callers`].
///
/// As the [`SetDeadline`] of a layer that writes the [`RequestInfo`] on requests, it writes that too,
/// so that the layers below do not determine it again.
#[derive(Clone, Debug)]
pub struct ByCaller<C> {
    inner: C,
    callers: Callers,
}

impl<C, B> Classify<Request<B>> for ByCaller<C>
where
    C: Classify<Request<B>>,
    C::Classifier: HasInfo,
{
    type Classifier = CallerClassifier<C::Classifier>;

    fn classify(&self, request: &Request<B>) -> Self::Classifier {
        let inner = self.inner.classify(request);
        CallerClassifier { info: self.callers.info(request, *inner.info()), inner }
    }
}

impl<C, B> SetDeadline<Request<B>> for ByCaller<C>
where
    C: SetDeadline<Request<B>>,
{
    fn set_deadline(&self, request: &mut Request<B>, arrived: Tick, deadline: Tick) {
        self.inner.set_deadline(request, arrived, deadline);
        let known = request.extensions().get::<RequestInfo>().copied();
        let found = known.map(|info| self.callers.info(request, info));
        // In its place: to insert it again would allocate.
        if let (Some(found), Some(info)) = (found, request.extensions_mut().get_mut()) {
            *info = found;
        }
    }
}

/// The response classifier of [`ByCaller`].
#[derive(Clone, Copy, Debug)]
pub struct CallerClassifier<C> {
    inner: C,
    info: RequestInfo,
}

impl<C> HasInfo for CallerClassifier<C> {
    #[inline]
    fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl<C: ClassifyResponse<Res>, Res: ?Sized> ClassifyResponse<Res> for CallerClassifier<C> {
    fn classify(&self, result: Result<&Res, &BoxError>) -> Verdict {
        self.inner.classify(result)
    }

    fn end_of_stream(&self, response: &Res) -> Option<EndOfStream> {
        self.inner.end_of_stream(response)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use http::request::Builder;
    use sandtower_core::{Operation, TenantProfile, TenantsConfig};

    use super::*;
    use crate::HttpClassify;

    const TENANT: HeaderName = HeaderName::from_static("x-tenant");
    const PRIORITY: HeaderName = HeaderName::from_static("x-priority");

    fn callers(tenants: &Tenants) -> Callers {
        Callers::new(tenants.clone()).tenant_header(TENANT).priority_header(PRIORITY)
    }

    fn info(callers: &Callers, request: Builder) -> RequestInfo {
        let classify = callers.clone().classify(HttpClassify::new(Operation::new(7, "fetch")));
        *classify.classify(&request.body(()).unwrap()).info()
    }

    #[test]
    fn an_extension_comes_before_the_header_and_the_header_before_the_classifier() {
        let tenants = Tenants::default();
        let callers = callers(&tenants);
        let plain = info(&callers, Request::get("/"));
        assert_eq!((plain.tenant, plain.priority), (Tenant::ALL, Priority::Interactive));
        assert_eq!(plain.operation, Operation::new(7, "fetch"), "the rest is as it was");

        let by_header = || Request::get("/").header(TENANT, "acme").header(PRIORITY, "background");
        let found = info(&callers, by_header());
        assert_eq!((found.tenant, found.priority), (tenants.id("acme"), Priority::Background));

        let own = by_header().extension(Tenant::new(3)).extension(Priority::Batch);
        let own = info(&callers, own.extension(Patience::Hold));
        assert_eq!((own.tenant, own.priority), (Tenant::new(3), Priority::Batch));
        assert_eq!(own.patience, Some(Patience::Hold));

        let classified = RequestInfo::default().tenant(Tenant::new(5)).priority(Priority::Batch);
        let request = by_header().body(()).unwrap();
        let info = callers.info(&request, classified);
        assert_eq!((info.tenant, info.priority), (Tenant::new(5), Priority::Background));
        let info = callers.info(&Request::new(()), classified);
        assert_eq!(info, classified);
    }

    #[test]
    fn no_call_gets_a_higher_priority_than_its_tenant_may_have() {
        let tenants = Tenants::default();
        let jobs = TenantProfile::new("jobs").highest(Priority::Batch);
        tenants.set("jobs", jobs).unwrap();
        let callers = callers(&tenants);
        for (wanted, got) in [
            ("interactive", Priority::Batch),
            ("batch", Priority::Batch),
            ("background", Priority::Background),
        ] {
            let request = || Request::get("/").header(TENANT, "jobs");
            assert_eq!(info(&callers, request().header(PRIORITY, wanted)).priority, got);
            let wanted = Priority::parse(wanted).unwrap();
            assert_eq!(info(&callers, request().extension(wanted)).priority, got);
        }
        let unsaid = info(&callers, Request::get("/").header(TENANT, "jobs"));
        assert_eq!(unsaid.priority, Priority::Batch);
    }

    #[test]
    fn headers_that_are_not_named_or_have_no_valid_value_are_ignored() {
        let tenants = Tenants::default();
        let none = Callers::new(tenants.clone());
        let request = Request::get("/").header(TENANT, "acme").header(PRIORITY, "batch");
        let found = info(&none, request);
        assert_eq!((found.tenant, found.priority), (Tenant::ALL, Priority::Interactive));
        for value in ["", "urgent", "batch, batch", "2"] {
            let request = Request::get("/").header(PRIORITY, value).header(TENANT, "");
            let found = info(&callers(&tenants), request);
            assert_eq!((found.tenant, found.priority), (Tenant::ALL, Priority::Interactive));
        }
        let found = info(&callers(&tenants), Request::get("/").header(PRIORITY, " Batch "));
        assert_eq!(found.priority, Priority::Batch);
    }

    #[test]
    fn a_tenant_without_a_row_is_one_of_the_others_and_no_key_is_kept() {
        let one = TenantsConfig::default().limit(NonZeroU32::MIN);
        let tenants = Tenants::new(one);
        tenants.set("known", TenantProfile::new("known")).unwrap();
        let callers = callers(&tenants);
        let found = info(&callers, Request::get("/").header(TENANT, "secret"));
        assert_eq!(found.tenant, Tenant::OTHERS);
        tenants.remove(tenants.id("known"));
        let found = info(&callers, Request::get("/").header(TENANT, "secret"));
        assert_eq!(found.tenant, tenants.id("secret"));
        let shown = format!("{callers:?} {:?}", tenants.profile(found.tenant));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
