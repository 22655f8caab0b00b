use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use sandtower::e2b::{Sandbox, SandboxId, operation as op};

use super::action::Verb;
use super::body::Fields;
use super::{Caller, rejection};
use crate::proxy::failure::Failure;
use crate::proxy::{Exchange, Outcome, pass};

impl Exchange<'_> {
    /// Does to a sandbox of the key what `verb` says.
    pub(super) async fn keyed_verb(
        &mut self,
        caller: &Caller,
        id: &SandboxId,
        verb: Verb,
        request: Request<Bytes>,
    ) -> Outcome {
        let (mut head, body) = request.into_parts();
        let fields = Fields::read(&body)?;
        let asked = fields.seconds(if verb == Verb::Refresh { "duration" } else { "timeout" });
        if !body.is_empty() {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let body = if body.is_empty() { body } else { fields.into_bytes() };
        let request = Request::from_parts(head, body);
        match verb {
            Verb::Connect | Verb::Resume => self.keyed_start(caller, id, asked, request).await,
            Verb::Timeout | Verb::Refresh => {
                self.check_extension(caller, id, asked)?;
                let response = self.keyed_send(caller, request).await?;
                if response.status().is_success() {
                    self.virtual_keys().ends_in(id, asked, verb == Verb::Refresh);
                }
                Ok(pass(response, None))
            }
            Verb::Kill | Verb::Pause => {
                let response = self.keyed_send(caller, request).await?;
                let gone = match verb {
                    Verb::Kill => StatusCode::NOT_FOUND,
                    _ => StatusCode::CONFLICT,
                };
                if response.status().is_success() || response.status() == gone {
                    if verb == Verb::Kill {
                        self.proxy.shared.sandboxes.gone(id);
                        self.virtual_keys().gone(id).await;
                    } else {
                        self.virtual_keys().pauses(id);
                        self.virtual_keys().stopped(id).await;
                    }
                }
                Ok(pass(response, None))
            }
            Verb::Info | Verb::Other => self.keyed_pass(caller, request).await,
        }
    }

    /// Once the seconds of the day are used up, what runs ends at its timeout.
    fn check_extension(
        &self,
        caller: &Caller,
        id: &SandboxId,
        asked: Option<Duration>,
    ) -> Result<(), Failure> {
        let left = self.virtual_keys().runs_for(id).flatten();
        if asked.zip(left).is_some_and(|(asked, left)| asked <= left) {
            return Ok(());
        }
        let checked = self.virtual_keys().check_seconds(caller.key.id());
        checked.map_err(|why| rejection::not_admitted(&caller.key, why))
    }

    /// Connects to a sandbox, which starts one that is paused.
    async fn keyed_start(
        &mut self,
        caller: &Caller,
        id: &SandboxId,
        asked: Option<Duration>,
        request: Request<Bytes>,
    ) -> Outcome {
        let runs = self.virtual_keys().runs_for(id).is_some();
        let reservation = match runs {
            true => {
                self.check_extension(caller, id, asked)?;
                None
            }
            false => Some(self.reserve(caller, false).await?),
        };
        let response = self.keyed_send(caller, request).await;
        let status = response.as_ref().map(Response::status).ok();
        match (reservation, status) {
            (Some(reservation), Some(status)) if status.is_success() => {
                self.virtual_keys().pauses(id);
                reservation.runs(id, asked);
            }
            (Some(reservation), Some(StatusCode::NOT_FOUND)) => {
                reservation.started_nothing();
                self.virtual_keys().gone(id).await;
            }
            (Some(mut reservation), status) => match status {
                Some(status) if status.is_client_error() => reservation.started_nothing(),
                // No tracker looks for a sandbox that is resumed.
                _ => reservation.untracked(),
            },
            (None, Some(status)) if status.is_success() => {
                self.virtual_keys().ends_in(id, asked, true);
            }
            (None, Some(StatusCode::NOT_FOUND)) => self.virtual_keys().gone(id).await,
            (None, _) => {}
        }
        let response = response?;
        match response.extensions().get::<Sandbox>().cloned() {
            Some(sandbox) => {
                self.proxy.shared.sandboxes.returned(
                    &sandbox,
                    caller.tenant,
                    &caller.stack.place().name,
                );
                self.rewritten(response, op::SANDBOX_CONNECT, caller.tenant, &caller.stack).await
            }
            None => Ok(pass(response, None)),
        }
    }
}
