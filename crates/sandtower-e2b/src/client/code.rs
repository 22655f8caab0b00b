//! Running code in a sandbox's code interpreter.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use serde::Serialize;
use tower_service::Service;

use crate::{
    Call, Code, Context, Error, Executing, Execution, INTERPRETER_PORT, Sandbox,
    api::hidden::Hidden, api::list::encode, api::request, operation as op,
};

use crate::api::lenient::List;
use crate::transport::within::Limit;

use super::Client;

/// All methods return an [`Error`] that names the call, the cause and whether to make it again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Runs code and collects the result. An exception that the code raises is not an error of the call:
    /// it is part of the [execution](Execution::error).
    ///
    /// # Errors
    ///
    /// [`CodeTimedOut`](Error::CodeTimedOut) and [`OutputTooLong`](Error::OutputTooLong) are caused by
    /// the code; after any other error it may have run. Status 404: the context does not exist.
    pub async fn run_code(&self, sandbox: &Sandbox, code: &Code) -> Result<Execution, Error> {
        self.start_code(sandbox, code).await?.execution().await
    }

    /// Runs code and returns a stream of its events.
    ///
    /// # Errors
    ///
    /// As for [`run_code`](Self::run_code).
    pub async fn start_code(&self, sandbox: &Sandbox, code: &Code) -> Result<Executing<B>, Error> {
        let call = Call::new(op::CODE_EXECUTE, Some(sandbox.id().clone()));
        let request = self.interpreter(sandbox, Method::POST, "/execute", Some(code));
        let request = request.map_err(|error| request::failed(&call, error))?;
        let (limit, hidden) =
            (Limit::from_now(code.timeout), Hidden::of(&request).and(code.secrets()));
        let response =
            self.in_time(&call, limit, self.send_hiding(&call, limit, request, &hidden)).await?;
        Ok(Executing::new(call, limit, code.longest, response.into_body()))
    }

    /// Creates a context for this language (`None`: Python) in this directory (`None`: the home
    /// directory of the user).
    ///
    /// # Errors
    ///
    /// The context may exist nevertheless; it ends with its sandbox.
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
        let build = || self.interpreter(sandbox, Method::POST, "/contexts", new);
        self.json(&call, build).await.map(|(context, _)| context)
    }

    /// Lists the contexts.
    ///
    /// # Errors
    ///
    /// Those of every call.
    pub async fn contexts(&self, sandbox: &Sandbox) -> Result<Vec<Context>, Error> {
        let call = Call::new(op::CODE_OTHER, Some(sandbox.id().clone()));
        let build = || self.interpreter(sandbox, Method::GET, "/contexts", None::<&()>);
        self.json(&call, build).await.map(|(List(contexts), _)| contexts)
    }

    /// Removes a context and its variables. `false`: no context has this id.
    ///
    /// # Errors
    ///
    /// The context may be gone nevertheless; removing it again is safe.
    pub async fn remove_context(&self, sandbox: &Sandbox, id: &str) -> Result<bool, Error> {
        let path = format!("/contexts/{}", encode(id));
        self.about_context(sandbox, Method::DELETE, &path).await
    }

    /// Restarts a context, which clears its variables. `false`: no context has this id.
    ///
    /// # Errors
    ///
    /// The context may have restarted nevertheless.
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
        let request = self.interpreter(sandbox, method, path, None::<&()>);
        let limit = self.limit(&call);
        match self.in_time(&call, limit, self.send(&call, limit, request)).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn interpreter(
        &self,
        sandbox: &Sandbox,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Request<Full<Bytes>>, BoxError> {
        let request = request::inside(&self.config, sandbox, INTERPRETER_PORT, method, path)?;
        let Some(body) = body else { return Ok(request.body(Full::default())?) };
        let body = Full::new(serde_json::to_vec(body)?.into());
        Ok(request.header(header::CONTENT_TYPE, "application/json").body(body)?)
    }
}
