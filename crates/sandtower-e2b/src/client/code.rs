//! Code in a sandbox's code interpreter.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Clock};
use sandtower_time::TokioClock;
use serde::Serialize;
use tower_service::Service;

use crate::{
    Call, Code, Context, Error, Executing, Execution, INTERPRETER_PORT, Sandbox, hidden::Hidden,
    list::encode, operation as op, request, within::within,
};

use super::Client;

/// Every method fails with an [`Error`] that says which call, what happened and whether to make it
/// again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Runs code and collects what comes of it, until it ends. An exception that it raises is no
    /// error: it is told in the [execution](Execution::error).
    ///
    /// # Errors
    ///
    /// [`CodeTimedOut`](Error::CodeTimedOut) and [`OutputTooLong`](Error::OutputTooLong) are about
    /// the code; after any other it may have run. Status 404: there is no such context.
    pub async fn run_code(&self, sandbox: &Sandbox, code: &Code) -> Result<Execution, Error> {
        self.start_code(sandbox, code).await?.execution().await
    }

    /// Runs code, and hands out the stream of what it does.
    ///
    /// # Errors
    ///
    /// As for [`run_code`](Self::run_code).
    pub async fn start_code(&self, sandbox: &Sandbox, code: &Code) -> Result<Executing<B>, Error> {
        let call = Call::new(op::CODE_EXECUTE, Some(sandbox.id().clone()));
        let request = self.interpreter(&call, sandbox, Method::POST, "/execute", Some(code))?;
        let until = code.timeout.map(|timeout| TokioClock.now() + timeout);
        let hidden = Hidden::of(&request).and(code.secrets());
        let answer = self.successful_hiding(&call, request, &hidden);
        let Some(answer) = within(code.timeout, answer).await else {
            return Err(Error::CodeTimedOut { call, after: code.timeout.unwrap_or_default() });
        };
        Ok(Executing::new(call, code.timeout, until, code.longest, answer?.into_body()))
    }

    /// Makes a context, of this language (`None`: Python) and in this directory (`None`: the user's
    /// home).
    ///
    /// # Errors
    ///
    /// There may be a context all the same: it ends with its sandbox.
    pub async fn create_context(
        &self,
        sandbox: &Sandbox,
        language: Option<&str>,
        cwd: Option<&str>,
    ) -> Result<Context, Error> {
        #[derive(Serialize)]
        struct New<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            language: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cwd: Option<&'a str>,
        }
        let call = Call::new(op::CODE_OTHER, Some(sandbox.id().clone()));
        let new = Some(&New { language, cwd });
        let request = self.interpreter(&call, sandbox, Method::POST, "/contexts", new)?;
        self.json(&call, request).await.map(|(context, _)| context)
    }

    /// The contexts there are.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn contexts(&self, sandbox: &Sandbox) -> Result<Vec<Context>, Error> {
        let call = Call::new(op::CODE_OTHER, Some(sandbox.id().clone()));
        let request = self.interpreter(&call, sandbox, Method::GET, "/contexts", None::<&()>)?;
        self.json(&call, request).await.map(|(contexts, _)| contexts)
    }

    /// Removes a context, with all that was set in it. `false`: there is none of this id.
    ///
    /// # Errors
    ///
    /// It may be gone all the same; removing it again is safe.
    pub async fn remove_context(&self, sandbox: &Sandbox, id: &str) -> Result<bool, Error> {
        let path = format!("/contexts/{}", encode(id));
        self.about_context(sandbox, Method::DELETE, &path).await
    }

    /// Begins a context anew: nothing of what was set in it is left. `false`: there is none of this
    /// id.
    ///
    /// # Errors
    ///
    /// It may have begun anew all the same.
    pub async fn restart_context(&self, sandbox: &Sandbox, id: &str) -> Result<bool, Error> {
        let path = format!("/contexts/{}/restart", encode(id));
        self.about_context(sandbox, Method::POST, &path).await
    }

    async fn about_context(
        &self,
        sandbox: &Sandbox,
        method: Method,
        path: &str,
    ) -> Result<bool, Error> {
        let call = Call::new(op::CODE_OTHER, Some(sandbox.id().clone()));
        let request = self.interpreter(&call, sandbox, method, path, None::<&()>)?;
        match self.successful(&call, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn interpreter(
        &self,
        call: &Call,
        sandbox: &Sandbox,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let request = || {
            let request = request::inside(&self.config, sandbox, INTERPRETER_PORT, method, path)?;
            let Some(body) = body else { return Ok(request.body(Full::default())?) };
            let body = Full::new(serde_json::to_vec(body)?.into());
            Ok(request.header(header::CONTENT_TYPE, "application/json").body(body)?)
        };
        request().map_err(|error: BoxError| request::failed(call, error))
    }
}
