//! Cleaning up after a process that crashed.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{Error, ListSandboxes, OWNER_KEY, Owner, SandboxId, SandboxInfo};

use super::Client;

impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Kills the sandboxes that `owner` created and that are not `held`, running or paused: those that a
    /// process with that [owner](crate::Config::owner) left behind when it crashed. Returns the ids of
    /// the sandboxes that it killed.
    ///
    /// Creations in flight when the process ended can appear for about two more minutes: sweep again
    /// after that.
    ///
    /// ```no_run
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use sandtower_core::BoxError;
    /// # use sandtower_e2b::{Client, Config};
    /// # async fn example<S>(http: S) -> Result<(), BoxError>
    /// # where
    /// #     S: tower_service::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError> + Clone,
    /// # {
    /// // On startup, a worker cleans up after its predecessor.
    /// let config = Config::from_env()?.owner("worker-7".parse()?);
    /// let client = Client::new(http, config.clone());
    /// let left_behind = client.sweep(config.owner_name(), |_| false).await?;
    /// # drop(left_behind);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The first failure. The other sandboxes were killed nevertheless, as far as the listing could be
    /// read; sweeping again is safe.
    pub async fn sweep(
        &self,
        owner: &Owner,
        held: impl Fn(&SandboxInfo) -> bool,
    ) -> Result<Vec<SandboxId>, Error> {
        let theirs = ListSandboxes::default().metadata(OWNER_KEY, owner.as_str());
        let mut pages = self.pages(theirs.in_all_states());
        let (mut killed, mut failed) = (Vec::new(), None);
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) => return Err(failed.unwrap_or(error)),
            };
            for sandbox in page.sandboxes {
                // Services that ignore the filter list everything.
                let is_theirs = sandbox.metadata.get(OWNER_KEY).map(String::as_str);
                if is_theirs != Some(owner.as_str()) || held(&sandbox) {
                    continue;
                }
                match self.kill(&sandbox.id).await {
                    Ok(_) => killed.push(sandbox.id),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        failed.map_or(Ok(killed), Err)
    }
}
