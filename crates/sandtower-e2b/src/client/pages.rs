use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{Call, Error, ListSandboxes, Page, SandboxInfo, operation as op};

use super::Client;

/// The most pages of one listing: 100,000 sandboxes. A service that exceeds it is broken.
const MOST_PAGES: u32 = 1_000;
/// The page size limit of E2B.
const LARGEST_PAGE: u32 = 100;

/// A listing, page by page: see [`Client::pages`].
#[derive(Debug)]
#[must_use = "a listing is made page by page, by `next`"]
pub struct Pages<'a, S> {
    client: &'a Client<S>,
    /// The token of the next page; `None`: there is none.
    next: Option<ListSandboxes>,
    left: u32,
}

impl<S> Client<S> {
    /// Lists all sandboxes, page by page.
    ///
    /// A sandbox that starts or ends meanwhile may be missing, or appear on two pages.
    pub fn pages(&self, which: ListSandboxes) -> Pages<'_, S> {
        Pages { client: self, next: Some(which.largest(LARGEST_PAGE)), left: MOST_PAGES }
    }
}

impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Lists all sandboxes: every page, each sandbox once.
    ///
    /// # Errors
    ///
    /// A page could not be read.
    pub async fn list_all(&self, which: ListSandboxes) -> Result<Vec<SandboxInfo>, Error> {
        let mut pages = self.pages(which);
        let mut all = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(page) = pages.next().await {
            let new = page?.sandboxes.into_iter();
            all.extend(new.filter(|sandbox| seen.insert(sandbox.id.clone())));
        }
        Ok(all)
    }
}

impl<S, B> Pages<'_, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The next page; `None`: there are no more. After an error the same page can be requested again.
    ///
    /// # Errors
    ///
    /// The page could not be read, or the listing has too many pages.
    pub async fn next(&mut self) -> Option<Result<Page, Error>> {
        let query = self.next.as_ref()?;
        if self.left == 0 {
            self.next = None;
            let call = Call::new(op::SANDBOX_LIST, None);
            let source = format!("it has more than {MOST_PAGES} pages").into();
            return Some(Err(Error::BrokenResponse { call, source }));
        }
        match self.client.list(query).await {
            Ok(page) => {
                self.left -= 1;
                self.next = page.next.as_ref().map(|next| query.clone().after(next));
                Some(Ok(page))
            }
            Err(error) => Some(Err(error)),
        }
    }
}
