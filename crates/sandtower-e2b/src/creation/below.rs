//! What the reaper asks of the service: a listing, and the end of a sandbox.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use super::book::Listed;
use super::marks::OWNER_KEY;
use crate::{Client, Config, Error, ListSandboxes, Marks, Owner, SandboxId, within::within};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// No single request of the reaper takes longer, whatever the layers below allow.
const REQUEST: Duration = Duration::from_secs(60);
/// The most pages of a listing: more sandboxes than the largest plan has.
const PAGES: usize = 100;

/// The service below a layer, whatever its type.
pub(crate) trait Below: Send + Sync {
    /// All sandboxes of `owner`; what was read until it failed.
    fn list(&self, owner: &Owner) -> BoxFuture<Listed>;

    /// Ends a sandbox; `None`: it may not have ended, else whether it was there.
    fn kill(&self, sandbox: SandboxId) -> BoxFuture<Option<bool>>;
}

/// A spare of a service, for requests that nobody waits for.
#[derive(Debug)]
pub(crate) struct Spare<S>(Client<S>);

impl<S> Spare<S> {
    pub(crate) fn new(service: S, config: Arc<Config>) -> Self {
        Self(Client::shared(service, config))
    }
}

impl<S, B> Below for Spare<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    fn list(&self, owner: &Owner) -> BoxFuture<Listed> {
        let all = ListSandboxes::default().metadata(OWNER_KEY, owner.as_str());
        let (client, all) = (self.0.clone(), all.in_all_states().limit(100));
        Box::pin(async move { list(client, all).await })
    }

    fn kill(&self, sandbox: SandboxId) -> BoxFuture<Option<bool>> {
        let client = self.0.clone();
        Box::pin(async move { within(Some(REQUEST), client.kill(&sandbox)).await?.ok() })
    }
}

async fn list<S, B>(client: Client<S>, mut page: ListSandboxes) -> Listed
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut sandboxes = Vec::new();
    for _ in 0..PAGES {
        let Some(Ok(listed)) = within(Some(REQUEST), client.list(&page)).await else { break };
        let marked = listed.sandboxes.into_iter();
        sandboxes.extend(marked.filter_map(|info| Some((info.id, Marks::read(&info.metadata)?))));
        match listed.next {
            Some(next) => page = page.after(next),
            None => return Listed { sandboxes, complete: true },
        }
    }
    Listed { sandboxes, complete: false }
}

/// The sandboxes that were made for one call, as far as the listing shows.
pub(super) async fn list_call<S, B>(
    client: &Client<S>,
    call: crate::CallId,
) -> Result<Vec<(SandboxId, Marks)>, Error>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let made = ListSandboxes::default().metadata(super::CALL_KEY, call.to_string()).in_all_states();
    let listed = client.list(&made).await?.sandboxes;
    let marked =
        listed.into_iter().filter_map(|info| Some((info.id, Marks::read(&info.metadata)?)));
    // Services that take no filter list everything.
    Ok(marked.filter(|(_, marks)| marks.call == call).collect())
}
