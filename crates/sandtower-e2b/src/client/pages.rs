use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{Call, Error, ListSandboxes, Page, SandboxInfo, operation as op};

use super::Client;

/// The most pages of one listing: 100,000 sandboxes. A service that never comes to an end is broken.
const MOST_PAGES: u32 = 1_000;
/// What E2B allows on a page.
const LARGEST_PAGE: u32 = 100;

/// A listing, page by page: see [`Client::pages`].
#[derive(Debug)]
#[must_use = "a listing is made page by page, by `next`"]
pub struct Pages<'a, S> {
    client: &'a Client<S>,
    /// What the next page is asked for by; `None`: there is none.
    next: Option<ListSandboxes>,
    left: u32,
}

impl<S> Client<S> {
    /// All the sandboxes there are, page by page.
    ///
    /// What begins or ends meanwhile may be on a page or not, and on two.
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
    /// All the sandboxes there are: every page, each sandbox once.
    ///
    /// # Errors
    ///
    /// One page could not be had.
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
    /// The next page; `None`: there are no more. After an error the same page can be asked for
    /// again.
    ///
    /// # Errors
    ///
    /// It could not be had, or the listing does not come to an end.
    pub async fn next(&mut self) -> Option<Result<Page, Error>> {
        let query = self.next.as_ref()?;
        if self.left == 0 {
            self.next = None;
            let call = Call::new(op::SANDBOX_LIST, None);
            let source = format!("it has more than {MOST_PAGES} pages").into();
            return Some(Err(Error::Unreadable { call, source }));
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
