//! Whether a template was built anew: it keeps its id then, and `GET /templates` names another build.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use sandtower_e2b::E2bClassify;
use serde::Deserialize;
use tower_service::Service;

use crate::below::Below;
use crate::pool::Shared;

/// Some hundred templates of a team.
const LONGEST: usize = 1024 * 1024;

/// A template of the team, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Built {
    #[serde(rename = "templateID")]
    pub(crate) id: String,
    #[serde(rename = "buildID")]
    pub(crate) build: Option<String>,
    aliases: Option<Vec<String>>,
    names: Option<Vec<String>>,
}

impl Built {
    /// Whether it has this id or name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let mut names = [&self.aliases, &self.names].into_iter().flatten().flatten();
        self.id == name || names.any(|known| known == name)
    }
}

/// Retires stock of templates that were built anew. Without a list that can be read, there are none.
pub(crate) async fn look(shared: &Shared, below: &Below) {
    let Some(all) = list(shared, below).await else { return };
    let changed = shared.engine().built(&all);
    for template in changed {
        tracing::info!(
            target: "sandtower::pool", template, "template built anew, older warm sandboxes retired"
        );
        shared.work.notify_one();
    }
}

async fn list(shared: &Shared, below: &Below) -> Option<Vec<Built>> {
    let request = shared.e2b.control_request(Method::GET, "/templates", Bytes::new());
    let mut request = request.ok()?.map(Full::from);
    E2bClassify::put_info(&mut request);
    let response = below.clone().call(request).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let data = frame.ok()?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > LONGEST {
            return None;
        }
        bytes.extend_from_slice(&data);
    }
    serde_json::from_slice(&bytes).ok()
}
