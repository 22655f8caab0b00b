use http::{HeaderValue, Request};

use crate::{ErrorBody, api::request};

/// The parts of a request that must not be shown if the service quotes them: keys, tokens, values of
/// environment variables, commands.
#[derive(Clone, Default)]
pub(crate) struct Hidden {
    fields: [Option<HeaderValue>; 3],
    texts: Vec<String>,
}

/// Shorter values, such as `1` or `true`, are not secrets and occur within other words.
const SHORTEST: usize = 6;

impl Hidden {
    /// The keys and tokens of `request`.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self { fields: request::secrets(request), texts: Vec::new() }
    }

    /// The API key.
    pub(crate) fn key(key: &HeaderValue) -> Self {
        Self { fields: [Some(key.clone()), None, None], texts: Vec::new() }
    }

    /// Adds these.
    pub(crate) fn and<'a>(mut self, texts: impl IntoIterator<Item = &'a String>) -> Self {
        self.texts.extend(texts.into_iter().filter(|text| text.len() >= SHORTEST).cloned());
        self
    }

    /// `said` without any of these values.
    pub(crate) fn hide(&self, body: ErrorBody) -> ErrorBody {
        let fields = self.fields.iter().flatten().filter_map(|field| field.to_str().ok());
        fields.chain(self.texts.iter().map(String::as_str)).fold(body, ErrorBody::without)
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_short_words_stay() {
        let request = Request::get("/").header("x-api-key", "e2b_key").body(()).unwrap();
        let hidden = Hidden::of(&request).and([&"s3cr3t".to_owned(), &"1".to_owned()]);
        let body = hidden.hide(ErrorBody::parse(b"e2b_key may not use s3cr3t 1 time"));
        assert_eq!(body.message, "*** may not use *** 1 time");
        assert!(!format!("{hidden:?}").contains("e2b_key"));
    }
}
