//! Pages that follow what happens: each page is rendered once a second for all browsers that show it, and
//! what has changed is sent to them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::State;
use super::api::Failed;
use super::pages::{self, Page};

/// How often pages are rendered.
const TICK: Duration = Duration::from_secs(1);
/// After how long without a change something is sent, so that no proxy takes the connection for dead.
const PING: Duration = Duration::from_secs(15);
/// How long a browser may read nothing.
const SLOW: Duration = Duration::from_secs(30);
/// Pages that may be open at a time.
const MOST: usize = 256;

/// What the browsers that show one page are sent.
#[derive(Clone, Default)]
struct Frame {
    number: u64,
    /// What has changed since the frame before.
    changes: Bytes,
    /// All of it, for a browser that has seen another frame or none.
    whole: Bytes,
}

/// The pages that are open.
pub(super) struct Live {
    frames: Vec<watch::Sender<Frame>>,
    slots: Arc<Semaphore>,
}

impl Live {
    pub(super) fn new() -> Self {
        let frames = pages::ALL.iter().map(|_| watch::Sender::new(Frame::default())).collect();
        Self { frames, slots: Arc::new(Semaphore::new(MOST)) }
    }
}

/// Renders what is shown, until it is dropped.
pub(super) async fn run(state: &State) {
    let mut before: Vec<Vec<(&'static str, String)>> = vec![Vec::new(); pages::ALL.len()];
    loop {
        for ((page, frames), before) in pages::ALL.iter().zip(&state.live.frames).zip(&mut before) {
            if frames.receiver_count() == 0 {
                before.clear();
                continue;
            }
            let now = pages::sections(*page, state);
            let changes: String =
                now.iter().filter(|section| !before.contains(section)).map(event).collect();
            if !changes.is_empty() {
                let whole = now.iter().map(event).collect::<String>().into();
                frames.send_modify(|frame| {
                    *frame = Frame { number: frame.number + 1, changes: changes.into(), whole };
                });
            }
            *before = now;
        }
        tokio::time::sleep(TICK).await;
    }
}

fn event((id, html): &(&'static str, String)) -> String {
    format!("data: {}\n\n", json!({"id": id, "html": html}))
}

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    page: String,
}

/// The changes of a page, as server-sent events.
pub(super) async fn events(
    Extract(state): Extract<Arc<State>>,
    Query(which): Query<Which>,
) -> Result<Response, Failed> {
    let page =
        Page::named(&which.page).ok_or_else(|| Failed::not_found("there is no such page"))?;
    let Ok(slot) = Arc::clone(&state.live.slots).try_acquire_owned() else {
        let why = "too many pages are open; this one does not update itself";
        return Err(Failed::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let (to, body) = Channel::<Bytes>::new(2);
    let frames = state.live.frames[page as usize].subscribe();
    tokio::spawn(send(to, frames, slot));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// Ends with the browser, or with the listener.
async fn send(
    mut to: Sender<Bytes>,
    mut frames: watch::Receiver<Frame>,
    _slot: OwnedSemaphorePermit,
) {
    // Something at once: a proxy passes the head on with the first bytes of the body.
    let mut next = Bytes::from_static(b"retry: 2000\n\n");
    let mut seen = 0;
    frames.mark_unchanged();
    loop {
        if !matches!(timeout(SLOW, to.send_data(next)).await, Ok(Ok(()))) {
            return;
        }
        next = match timeout(PING, frames.changed()).await {
            Ok(Ok(())) => {
                let frame = frames.borrow_and_update();
                let follows = seen > 0 && frame.number == seen + 1;
                seen = frame.number;
                if follows { frame.changes.clone() } else { frame.whole.clone() }
            }
            Ok(Err(_)) => return,
            Err(_) => Bytes::from_static(b": ping\n\n"),
        };
    }
}
