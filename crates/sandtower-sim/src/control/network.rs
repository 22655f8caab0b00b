//! `PUT /sandboxes/{id}/network`: 204; replaces the egress rules of a sandbox that runs. They are
//! kept and returned; nothing in a simulated sandbox uses a network.

use super::*;

pub(super) fn update(call: Call<'_>) -> Outcome {
    let mut rules: Map<String, Value> = call.parse()?;
    let mut state = call.sim.state();
    call.running(&state)?;
    if let Some(sandbox) = state.sandboxes.get_mut(call.id) {
        let settings = &mut sandbox.settings;
        if let Some(allowed) = rules.remove("allow_internet_access") {
            settings.allow_internet_access = allowed.as_bool();
        }
        // The traffic that may come in is decided when the sandbox is created.
        if let Some(Value::Object(before)) = &settings.network {
            let ingress = ["allowPublicTraffic", "maskRequestHost", "httpsPorts"];
            let kept = ingress.iter().filter_map(|name| before.get_key_value(*name));
            rules.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
        }
        settings.network = Some(Value::Object(rules));
    }
    Ok(response::empty(204))
}
