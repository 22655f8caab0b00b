//! In which place a request is served: all that is about one sandbox, where that is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request};
use sandtower::core::Tick;
use sandtower::e2b::{E2bClassify, ENVD_PORT, SANDBOX_ID, SANDBOX_PORT, SandboxId};
use sandtower::http::{Deadline, RequestBody};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::Exchange;
use super::body::{Collected, UpstreamBody, collect};
use super::data::NOT_FOUND;
use super::failure::Failure;
use super::headers::API_KEY;
use crate::keys::{KeyStack, NoStack, TenantId};

/// How long the places may take to say whether they have a sandbox.
const SEARCH: Duration = Duration::from_secs(5);
/// What is read of such a response.
const SHORT: usize = 64 * 1_024;

/// What a search for a sandbox has found.
#[derive(Clone, Debug)]
enum Found {
    In(Arc<str>),
    /// If it is anywhere, then at home.
    AtMostAtHome,
    /// This place does not say whether it has it, and no other one does.
    Unknown(Arc<str>),
}

/// What a place says of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Here,
    NotHere,
    Nothing,
}

/// The searches that are under way: one at a time for a sandbox, of callers who see the same of it.
#[derive(Debug, Default)]
pub(crate) struct Searches(Mutex<HashMap<Wanted, Arc<OnceCell<Found>>>>);

/// A sandbox, and with whose keys it is searched for; requests into sandboxes carry none.
type Wanted = (SandboxId, Option<TenantId>);

impl Searches {
    fn lock(&self) -> MutexGuard<'_, HashMap<Wanted, Arc<OnceCell<Found>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, wanted: Wanted) -> Search<'_> {
        let cell = Arc::clone(self.lock().entry(wanted.clone()).or_default());
        Search { all: self, wanted, cell: Some(cell) }
    }
}

/// A part in a search; the last one to leave takes it out.
struct Search<'a> {
    all: &'a Searches,
    wanted: Wanted,
    /// Taken out under the lock of the table, so that one of several that leave at once is the last.
    cell: Option<Arc<OnceCell<Found>>>,
}

impl Search<'_> {
    /// The result of the search, which the first one does.
    async fn result<F: Future<Output = Found>>(&self, search: impl FnOnce() -> F) -> Found {
        match &self.cell {
            Some(cell) => cell.get_or_init(search).await.clone(),
            None => search().await,
        }
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        drop(self.cell.take());
        if all.get(&self.wanted).is_some_and(|cell| Arc::strong_count(cell) == 1) {
            all.remove(&self.wanted);
        }
    }
}

impl<'a> Exchange<'a> {
    /// The stacks of a caller in all places, in their order: where no key stands for the caller's, it has
    /// none.
    pub(super) fn stacks_of(&self, at_home: &Arc<KeyStack>) -> Result<Vec<Arc<KeyStack>>, Failure> {
        let all = self.generation.places().map(|place| place.counterpart(at_home));
        all.filter_map(Result::transpose).collect::<Result<_, _>>().map_err(no_stack)
    }

    /// The same, if they are several.
    pub(super) fn several(
        &self,
        at_home: &Arc<KeyStack>,
    ) -> Result<Option<Vec<Arc<KeyStack>>>, Failure> {
        if self.generation.others.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.stacks_of(at_home)?).filter(|stacks| stacks.len() > 1))
    }

    /// What a template of home is called in the place of `stack`, if it has another name there.
    pub(super) fn template_at(&self, stack: &KeyStack, at_home: &str) -> Option<&'a str> {
        let mut places = self.generation.places();
        places.find(|it| it.place.name == stack.place().name)?.template(at_home)
    }

    /// Notes which place serves the request.
    pub(super) fn served_by(&mut self, stack: &KeyStack) {
        let place = stack.place();
        self.record.place = (!place.is_home()).then(|| Arc::clone(&place.name));
    }

    /// The stack of a caller for what is about this sandbox.
    pub(super) async fn stack_where(
        &self,
        id: &SandboxId,
        at_home: &Arc<KeyStack>,
    ) -> Result<Arc<KeyStack>, Failure> {
        let Some(stacks) = self.several(at_home)? else { return Ok(Arc::clone(at_home)) };
        let wanted = (id.clone(), Some(at_home.tenant()));
        let home = match self.proxy.shared.sandboxes.home_of(id) {
            Some(home) => home,
            None => self.search(wanted, &stacks).await?,
        };
        // Without a key there, it is not the caller's, and home says so.
        let there = stacks.into_iter().find(|stack| stack.place().name == home);
        Ok(there.unwrap_or_else(|| Arc::clone(at_home)))
    }

    /// The stack for requests into this sandbox, if it is known where that is.
    pub(super) fn data_stack(&self, id: &SandboxId) -> Option<&'a Arc<KeyStack>> {
        let generation = self.generation;
        if generation.others.is_empty() {
            return Some(&generation.home.data);
        }
        let home = self.proxy.shared.sandboxes.home_of(id)?;
        generation.places().find(|place| place.place.name == home).map(|place| &place.data)
    }

    /// The stack for requests into a sandbox of which that is not known.
    pub(super) async fn search_data(&self, id: &SandboxId) -> Result<&'a Arc<KeyStack>, Failure> {
        let generation = self.generation;
        let stacks: Vec<_> = generation.places().map(|place| Arc::clone(&place.data)).collect();
        let home = self.search((id.clone(), None), &stacks).await?;
        let found = generation.places().find(|place| place.place.name == home);
        Ok(found.map_or(&generation.home.data, |place| &place.data))
    }

    /// The name of the place that has the sandbox, as far as these stacks see, the first of which is that of
    /// home.
    async fn search(&self, wanted: Wanted, stacks: &[Arc<KeyStack>]) -> Result<Arc<str>, Failure> {
        let shared = &self.proxy.shared;
        let search = shared.searches.join(wanted);
        let (id, of_caller) = &search.wanted;
        let searching = || ask_all(id, of_caller.is_none(), stacks, self.proxy.worker);
        match search.result(searching).await {
            Found::In(place) => {
                shared.sandboxes.found(id, &place);
                Ok(place)
            }
            Found::AtMostAtHome => Ok(Arc::clone(&self.generation.home.place.name)),
            Found::Unknown(place) => {
                let message = format!(
                    "where the sandbox is, is not known, and the place \"{place}\" does not say whether \
                     it has it; try again in a moment"
                );
                Err(Failure::unavailable(&message, "unknown_place"))
            }
        }
    }
}

/// Why there is no stack, for its caller.
pub(super) fn no_stack(error: NoStack) -> Failure {
    match error {
        NoStack::Key => Failure::of_request(StatusCode::UNAUTHORIZED, "the API key is not valid"),
        NoStack::Full => Failure::unavailable(
            "the gateway serves too many API keys at once; try again in a moment",
            "too_many_keys",
        ),
    }
}

/// Addresses a request to the control plane of the place of `stack`, with the key there.
pub(super) fn address(head: &mut request::Parts, stack: &KeyStack) -> Result<(), Failure> {
    let invalid =
        || Failure::of_request(StatusCode::BAD_REQUEST, "the target of the request is invalid");
    if !stack.place().is_home() {
        // No place is sent what opens another one.
        head.headers.remove(header::AUTHORIZATION);
        head.headers.insert(API_KEY, stack.key().ok_or_else(invalid)?);
    }
    let target = stack.place().addresses.control(head.uri.path_and_query());
    head.uri = target.ok_or_else(invalid)?;
    Ok(())
}

/// Asks all places at once; that of the first stack is home.
async fn ask_all(
    id: &SandboxId,
    is_data_plane: bool,
    stacks: &[Arc<KeyStack>],
    worker: usize,
) -> Found {
    let mut asked = JoinSet::new();
    for (at, stack) in stacks.iter().enumerate() {
        let question = match is_data_plane {
            true => into(stack, id),
            false => stack.get(&format!("/sandboxes/{id}")),
        };
        let (stack, is_up) = (Arc::clone(stack), stack.is_up(is_data_plane));
        asked.spawn(async move {
            let Some(question) = question.filter(|_| is_up) else { return (at, Says::Nothing) };
            let said = tokio::time::timeout(SEARCH, ask(&stack, question, worker)).await;
            (at, said.unwrap_or(Says::Nothing))
        });
    }
    let mut said = vec![Says::Nothing; stacks.len()];
    while let Some(next) = asked.join_next().await {
        let Ok((at, says)) = next else { continue };
        said[at] = says;
        if says == Says::Here {
            return Found::In(Arc::clone(&stacks[at].place().name));
        }
        if said[1..].iter().all(|says| *says == Says::NotHere) {
            return Found::AtMostAtHome;
        }
    }
    let silent = (1..said.len()).find(|at| said[*at] == Says::Nothing);
    silent.map_or(Found::AtMostAtHome, |at| Found::Unknown(Arc::clone(&stacks[at].place().name)))
}

/// A harmless request into a sandbox.
fn into(stack: &KeyStack, id: &SandboxId) -> Option<Request<Bytes>> {
    let path = http::uri::PathAndQuery::from_static("/health");
    Request::get(stack.place().addresses.sandbox(id, ENVD_PORT, Some(&path))?)
        .header(SANDBOX_ID, id.as_str())
        .header(SANDBOX_PORT, ENVD_PORT)
        .body(Bytes::new())
        .ok()
}

async fn ask(stack: &KeyStack, question: Request<Bytes>, worker: usize) -> Says {
    let is_data_plane = question.headers().contains_key(SANDBOX_ID);
    let mut question = question.map(RequestBody::whole);
    question.extensions_mut().insert(Deadline(Tick::now() + SEARCH));
    E2bClassify::put_info(&mut question);
    match stack.service(worker).oneshot(question).await {
        Ok(response) if is_data_plane => says_of_inside(response).await,
        Ok(response) => says(response.status()),
        Err(_) => Says::Nothing,
    }
}

/// What the control plane says. A place that does not accept its key says nothing.
fn says(status: StatusCode) -> Says {
    match status.as_u16() {
        200..=299 => Says::Here,
        401 | 408 | 425 | 429 => Says::Nothing,
        400..=499 => Says::NotHere,
        _ => Says::Nothing,
    }
}

/// What the way into a sandbox says: one that wants a token is there, as is one of which a port is not open.
async fn says_of_inside(response: Response<UpstreamBody>) -> Says {
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Says::Here,
        StatusCode::BAD_GATEWAY => match collect(body, SHORT).await {
            Collected::Whole(body) if has(&body, NOT_FOUND) => Says::NotHere,
            Collected::Whole(body) if has(&body, NOT_OPEN) => Says::Here,
            _ => Says::Nothing,
        },
        status => says(status),
    }
}

fn has(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

/// What the way into a sandbox says of a port of one that runs.
const NOT_OPEN: &[u8] = b"port is not open";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_for_one_sandbox_are_one_and_leave_nothing() {
        let all = Searches::default();
        let wanted = || ("i0".parse().unwrap(), None);
        let (one, other) = (all.join(wanted()), all.join(wanted()));
        assert!(Arc::ptr_eq(one.cell.as_ref().unwrap(), other.cell.as_ref().unwrap()));
        drop(one);
        assert_eq!(all.lock().len(), 1);
        drop(other);
        assert_eq!(all.lock().len(), 0);
    }

    #[test]
    fn many_that_leave_at_once_leave_nothing() {
        let all = Arc::new(Searches::default());
        let threads = (0..4).map(|_| {
            let all = Arc::clone(&all);
            std::thread::spawn(move || {
                for _ in 0..5_000 {
                    drop(all.join(("i0".parse().unwrap(), None)));
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(all.lock().len(), 0);
    }

    #[test]
    fn only_a_clear_no_is_one() {
        for (status, says) in [
            (200, Says::Here),
            (404, Says::NotHere),
            (403, Says::NotHere),
            (401, Says::Nothing),
            (429, Says::Nothing),
            (500, Says::Nothing),
            (503, Says::Nothing),
        ] {
            assert_eq!(super::says(StatusCode::from_u16(status).unwrap()), says, "{status}");
        }
    }
}
