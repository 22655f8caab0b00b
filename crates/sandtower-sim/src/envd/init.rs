//! `POST /init`: 204; sets variables for what is started from then on, and the token of a sandbox
//! without one. Another token than the sandbox's is a 401.

use super::*;
use crate::config::ENVD_VERSION;
use crate::json;
use crate::response::With as _;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Init {
    access_token: Option<String>,
    env_vars: Option<BTreeMap<String, String>>,
}

pub(super) fn init(sim: &Shared, id: &str, target: &Target, request: &Received) -> Response<Body> {
    let garbled = || response::text(400, "Failed to decode request");
    let Ok(body) = &request.body else { return garbled() };
    let Ok(mut init) = json::object::<Init>(if body.is_empty() { b"{}" } else { body }) else {
        return garbled();
    };
    init.access_token.take_if(|token| token.is_empty());
    let is_allowed = target.token.is_none() || init.access_token == target.token;
    let response = if is_allowed {
        let mut state = sim.state();
        if let Some(sandbox) = state.sandboxes.get_mut(id) {
            if sandbox.access_token.is_none() {
                sandbox.access_token = init.access_token;
            }
            let variables = &mut sandbox.settings.env_vars;
            let held: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
            // What is set again and again adds up.
            if held < MAX_BODY {
                variables.extend(init.env_vars.unwrap_or_default());
            }
        }
        response::empty(204).with(CACHE_CONTROL, "no-store")
    } else {
        response::text(401, "access token validation failed")
    };
    response.with("x-envd-version", ENVD_VERSION)
}
