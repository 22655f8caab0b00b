use serde_json::Value;

/// The most characters of a message that are kept. The messages of E2B are below 300.
const LONGEST: usize = 512;

/// The body of an error response.
///
/// E2B's API and envd send `{"code", "message", "error_code"?}`, envd's remote calls
/// `{"code": "not_found", "message"}`; the proxy in front of the sandboxes adds `sandboxId`. Load
/// balancers send plain text or HTML, which becomes the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The service's own message: at most 512 characters, without control characters.
    pub message: String,
    /// The name of the error, if any: `error_code`, or a `code` that is not a number.
    pub code: Option<String>,
    /// Whether the body is a JSON object, like those of the API.
    pub(crate) is_json: bool,
}

impl ErrorBody {
    /// Reads an error body. Accepts any bytes.
    ///
    /// ```
    /// use sandtower_e2b::ErrorBody;
    ///
    /// let said = ErrorBody::parse(br#"{"code":503,"message":"no room","error_code":"full"}"#);
    /// assert_eq!((said.message.as_str(), said.code.as_deref()), ("no room", Some("full")));
    /// ```
    pub fn parse(body: &[u8]) -> Self {
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return Self { message: tidy(&String::from_utf8_lossy(body)), ..Self::default() };
        };
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(tidy);
        Self {
            message: text("message").unwrap_or_default(),
            code: text("error_code").or_else(|| text("code")),
            is_json: true,
        }
    }

    /// Hides `secret`, in case the service quoted it.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        // The message was cleaned up, so a quoted secret was too.
        let secret = &*tidy(secret);
        if secret.is_empty() {
            return self;
        }
        let hide = |text: &mut String| {
            if text.contains(secret) {
                *text = text.replace(secret, "***");
            }
        };
        hide(&mut self.message);
        self.code.iter_mut().for_each(hide);
        if self.message.chars().count() >= LONGEST {
            self.cut_before(secret);
        }
        self
    }

    /// If the message was truncated within `secret`, it now ends before it.
    fn cut_before(&mut self, secret: &str) {
        let begins =
            |&end: &usize| secret.is_char_boundary(end) && self.message.ends_with(&secret[..end]);
        if let Some(shown) = (1..secret.len()).rev().find(begins) {
            self.message.truncate(self.message.len() - shown);
        }
    }
}

/// Makes the text safe for a log line.
fn tidy(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(LONGEST).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(message: &str, code: Option<&str>) -> ErrorBody {
        ErrorBody { message: message.into(), code: code.map(Into::into), is_json: true }
    }

    fn plain(message: &str) -> ErrorBody {
        ErrorBody { is_json: false, ..said(message, None) }
    }

    #[test]
    fn the_code_of_an_error_is_its_error_code_or_a_code_in_words() {
        assert_eq!(ErrorBody::parse(br#"{"code":429,"message":"slow"}"#), said("slow", None));
        assert_eq!(
            ErrorBody::parse(br#"{"code":"not_found","message":"gone"}"#),
            said("gone", Some("not_found")),
        );
        assert_eq!(
            ErrorBody::parse(br#"{"code":500,"message":"m","error_code":"internal_server_error"}"#),
            said("m", Some("internal_server_error")),
        );
    }

    #[test]
    fn a_body_that_is_not_json_becomes_the_message() {
        assert_eq!(
            ErrorBody::parse(b"upstream request timeout\n"),
            plain("upstream request timeout")
        );
        assert_eq!(ErrorBody::parse(br#"{"message":"cut o"#), plain(r#"{"message":"cut o"#));
        assert_eq!(ErrorBody::parse(b""), plain(""));
    }

    #[test]
    fn a_secret_is_hidden_wherever_the_message_is_truncated() {
        for before in 490..520 {
            let body = format!("{} planted_secret", "x".repeat(before));
            let shown = ErrorBody::parse(body.as_bytes()).without("planted_secret").message;
            assert!(!shown.contains("plan"), "{before}: {shown}");
        }
        assert_eq!(ErrorBody::parse(b"a b").without(" ").message, "a b");
    }

    #[test]
    fn a_message_cannot_forge_or_flood_log_lines() {
        assert_eq!(ErrorBody::parse(b"a\nINFO b\x1b[0m").message, "a INFO b [0m");
        assert_eq!(ErrorBody::parse(&[b'x'; 100_000]).message.len(), LONGEST);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(ErrorBody::parse(&body).message.chars().count() <= LONGEST);
        }
    }
}
