//! Sending a request and reading its response over any service, and a service that sends it over the
//! network, [`HttpTransport`](http::HttpTransport).

pub(crate) mod body;
pub(crate) mod exchange;
#[cfg(feature = "transport")]
pub(crate) mod http;
pub(crate) mod progress;
pub(crate) mod within;
