//! The pages of operators, rendered here: a browser adds nothing but what has changed since.

mod alerts;
mod audit;
mod breakers;
mod calls;
mod creations;
mod format;
mod keys;
mod latency;
mod layout;
mod limits;
mod overview;
mod parts;
mod plot;
mod pool;
mod queues;
mod sandboxes;

use std::sync::Arc;

use axum::extract::{Extension, State as Extract};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::Markup;

use super::State;
use super::access::Actor;
use super::guard::Caller;

/// One page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Overview,
    Breakers,
    Queues,
    Limits,
    Keys,
    Sandboxes,
    Creations,
    Pool,
    Latency,
    Alerts,
    Calls,
    Audit,
}

/// All pages, in the order of the navigation and of the enum.
pub(super) const ALL: [Page; 12] = [
    Page::Overview,
    Page::Breakers,
    Page::Queues,
    Page::Limits,
    Page::Keys,
    Page::Sandboxes,
    Page::Creations,
    Page::Pool,
    Page::Latency,
    Page::Alerts,
    Page::Calls,
    Page::Audit,
];

impl Page {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Breakers => "/breakers",
            Self::Queues => "/queues",
            Self::Limits => "/limits",
            Self::Keys => "/keys",
            Self::Sandboxes => "/sandboxes",
            Self::Creations => "/creations",
            Self::Pool => "/pool",
            Self::Latency => "/latency",
            Self::Alerts => "/alerts",
            Self::Calls => "/calls",
            Self::Audit => "/audit",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Breakers => "Breakers",
            Self::Queues => "Queues",
            Self::Limits => "Limits",
            Self::Keys => "Keys",
            Self::Sandboxes => "Sandboxes",
            Self::Creations => "Creations",
            Self::Pool => "Pool",
            Self::Latency => "Latency",
            Self::Alerts => "Alerts",
            Self::Calls => "Calls",
            Self::Audit => "Audit",
        }
    }

    /// The page at a path.
    pub(super) fn named(path: &str) -> Option<Self> {
        ALL.into_iter().find(|page| page.path() == path)
    }
}

/// `path`, if it is that of a page; else that of the first: whoever made the link shall not choose where
/// a login leads.
pub(super) fn known_path(path: &str) -> &'static str {
    Page::named(path).unwrap_or(Page::Overview).path()
}

/// A part of a page that is replaced when it changes.
type Section = (&'static str, Markup);

/// The parts of a page, by their ids. They are the same for all who look at it.
pub(super) fn sections(page: Page, state: &State) -> Vec<(&'static str, String)> {
    let own = match page {
        Page::Overview => overview::sections(state),
        Page::Breakers => breakers::sections(state),
        Page::Queues => queues::sections(state),
        Page::Limits => limits::sections(state),
        Page::Keys => keys::sections(state),
        Page::Sandboxes => sandboxes::sections(state),
        Page::Creations => creations::sections(state),
        Page::Pool => pool::sections(state),
        Page::Latency => latency::sections(state),
        Page::Alerts => alerts::sections(state),
        Page::Calls => calls::sections(state),
        Page::Audit => audit::sections(state),
    };
    let status = layout::status(state);
    own.into_iter().chain([status]).map(|(id, html)| (id, html.into_string())).collect()
}

/// A page as a whole.
pub(super) async fn show(
    page: Page,
    Extract(state): Extract<Arc<State>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let session = match &caller.actor {
        Actor::Browser(session) => Some(session),
        Actor::Token | Actor::Anonymous => None,
    };
    html(layout::page(page, session, sections(page, &state)))
}

/// The form for the token; `is_open`: reading needs none.
pub(super) fn login(next: &'static str, error: Option<&str>, is_open: bool) -> Response {
    html(layout::login(next, error, is_open))
}

fn html(page: Markup) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.into_string()).into_response()
}
