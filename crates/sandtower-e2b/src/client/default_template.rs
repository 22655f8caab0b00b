use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sandtower_core::{Outcome, Resend};
use sandtower_fallback::{Failed, FallbackLayer, Rewrite, Rewritten, When};
use sandtower_http::{Http, ResendBody};

use crate::{Creation, E2bClassify, EVENTS};

/// The template of a creation does not exist: an extension of its response, set by
/// [`E2bInterpret`](crate::E2bInterpret).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateNotFound;

/// Creates a sandbox from a default template if the requested one does not exist.
///
/// The second creation belongs to the same call: it has its [`CallId`](crate::CallId), its metadata and
/// its environment. Each use is logged as the `INFO` event `sandbox_create_default_template` with the
/// target [`EVENTS`] and the fields `template`, `default_template` and `call_id`.
///
/// For requests of [`Client::create`](crate::Client::create). Place it above an interpreter, preferably
/// above retry.
///
/// ```
/// use sandtower_e2b::DefaultTemplate;
///
/// let layer = DefaultTemplate::new("base").layer();
/// assert_eq!(layer.handle().name(), "default template");
/// ```
#[derive(Clone, Debug)]
pub struct DefaultTemplate {
    template: Arc<str>,
}

impl DefaultTemplate {
    /// Falls back to `template`, by id or alias.
    pub fn new(template: impl Into<Arc<str>>) -> Self {
        Self { template: template.into() }
    }

    /// The layer.
    pub fn layer(self) -> FallbackLayer<Rewritten<Self>, E2bClassify> {
        FallbackLayer::rewrite("default template", self, E2bClassify)
            .when(When::never().on(Outcome::Permanent))
    }
}

impl<Q, B> Rewrite<Request<Q>, Response<B>> for DefaultTemplate
where
    Q: ResendBody + From<Full<Bytes>>,
{
    type Kept = (Creation, Request<Q>);

    fn keep(&self, request: &Request<Q>) -> Option<Self::Kept> {
        let creation = request.extensions().get::<Creation>()?;
        if creation.template() == &*self.template {
            return None;
        }
        Some((creation.clone(), Http.copy(request)?))
    }

    fn rewrite(
        &self,
        (creation, mut request): Self::Kept,
        failed: &Failed<'_, Response<B>>,
    ) -> Option<Request<Q>> {
        let response = failed.result.ok()?;
        response.extensions().get::<TemplateNotFound>()?;
        creation.with_template(&*self.template, &mut request);
        tracing::info!(
            target: EVENTS,
            template = creation.template(),
            default_template = &*self.template,
            call_id = %creation.call(),
            "sandbox_create_default_template"
        );
        Some(request)
    }
}
