//! Resuming a sandbox that is paused.

use tokio::time;

use super::*;

/// What a start of a sandbox found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    Ran,
    Resumed,
}

/// How a sandbox is resumed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resumption {
    pub(crate) lifetime: Duration,
    /// Whether it starts from its memory, if its pause kept it.
    pub(crate) memory: bool,
}

/// Resumes a sandbox that is paused, or waits for whoever does so already; `team` is whose it must
/// be, unless traffic wakes it.
pub(crate) async fn start(
    sim: &Arc<Shared>,
    team: Option<&str>,
    id: &str,
    how: Resumption,
) -> Result<Started, ApiError> {
    let mut life = {
        let mut state = sim.state();
        let State { sandboxes, teams, .. } = &mut *state;
        let sandbox = sandboxes.get_mut(id).ok_or_else(|| no_such(id))?;
        if team.is_some_and(|team| &*sandbox.team != team) {
            return Err(no_such(id));
        }
        if !sandbox.is_paused() {
            return Ok(Started::Ran);
        }
        let life = sandbox.life.subscribe();
        if !sandbox.resuming {
            if !teams.reserve(&sandbox.team, &sim.config.limits) {
                return Err(over_quota(sim.config.limits.concurrent_sandboxes));
            }
            sandbox.resuming = true;
            let team = Arc::clone(&sandbox.team);
            // A task of its own: its caller may go away.
            tokio::spawn(finish(Arc::clone(sim), team, id.to_owned(), how));
        }
        life
    };
    while *life.borrow_and_update() == Life::Paused {
        if life.changed().await.is_err() {
            break;
        }
    }
    Ok(Started::Resumed)
}

/// The work of a resumption. It takes as long as the median creation.
async fn finish(sim: Arc<Shared>, team: Arc<str>, id: String, how: Resumption) {
    time::sleep(sim.config.world.create_median).await;
    let mut state = sim.state();
    match state.sandboxes.get(&id) {
        Some(sandbox) if sandbox.is_paused() => {
            let lifetime = how.lifetime.min(sim.config.limits.max_lifetime);
            let end_at = clock::after(clock::now(), lifetime);
            state.resume(&sim.config, &id, end_at, how.memory);
        }
        // It was killed meanwhile.
        _ => state.teams.release(&team),
    }
}
