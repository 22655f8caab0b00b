use ::axum::response::{IntoResponse, Response};
use ::http::{HeaderValue, Response as HttpResponse, StatusCode, header};
use serde::Serialize;

use crate::Message;
use crate::core::{BoxError, Outcome, Rejection, find};
use crate::e2b;
use crate::http::rejection_head;
use crate::timeout::is_timeout;

/// An error as a response: the error type of a handler, into which errors convert by `?`.
///
/// | error | status | `Retry-After` |
/// |---|---|---|
/// | a [`Rejection`], in the error or in its chain | 429 over a limit, else 503 | always |
/// | a timeout | 504 | |
/// | E2B throttles | 429 | if E2B says so |
/// | any other error of E2B or of the connection to it | 502 | if E2B says so |
///
/// The body is JSON: `error`, a [`Message`] for the user, which names no layer and repeats nothing that
/// the service said; and `retry_after_s` if the time is known. Log the error itself before it becomes a
/// response.
#[derive(Debug)]
pub struct ErrorResponse {
    head: HttpResponse<()>,
    body: Body,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Body {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

impl ErrorResponse {
    /// A response with a message of your own.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let mut head = HttpResponse::new(());
        *head.status_mut() = status;
        Self { head, body: Body { error: message.into(), retry_after_s: None } }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status()
    }

    pub(super) fn body(&self) -> Body {
        self.body.clone()
    }

    fn of(head: HttpResponse<()>, message: &Message) -> Self {
        let mut response =
            Self { head, body: Body { error: message.to_string(), retry_after_s: None } };
        if let Some(after) = message.retry_after() {
            let seconds = u64::try_from(after.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX);
            response.body.retry_after_s = Some(seconds.max(1));
            let fields = response.head.headers_mut();
            fields.entry(header::RETRY_AFTER).or_insert(HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl From<&Rejection> for ErrorResponse {
    fn from(rejection: &Rejection) -> Self {
        Self::of(rejection_head(rejection), &Message::from(rejection))
    }
}

impl From<e2b::Error> for ErrorResponse {
    fn from(error: e2b::Error) -> Self {
        if let Some(rejection) = error.rejection() {
            return Self::from(rejection);
        }
        let mut head = HttpResponse::new(());
        *head.status_mut() = match error.verdict().outcome {
            _ if error.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
            Outcome::Throttled => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::of(head, &Message::from(&error))
    }
}

/// For services behind layers alone. The text of an error that is neither a rejection nor a timeout does
/// not reach the user.
impl From<BoxError> for ErrorResponse {
    fn from(error: BoxError) -> Self {
        match error.downcast::<e2b::Error>() {
            Ok(error) => Self::from(*error),
            Err(error) => match find::<Rejection>(&*error) {
                Some(rejection) => Self::from(rejection),
                None if is_timeout(&*error) => {
                    Self::new(StatusCode::GATEWAY_TIMEOUT, "This took too long. Try again.")
                }
                None => Self::new(StatusCode::BAD_GATEWAY, "This failed. Try again later."),
            },
        }
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = self.head.map(|()| json.into());
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
