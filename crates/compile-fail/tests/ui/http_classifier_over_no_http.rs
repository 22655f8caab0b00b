// `HttpClassify` over a service that does not take HTTP requests.

use sandtower::http::HttpClassify;
use sandtower::retry::{Config, RetryLayer};
use tower::{Layer, ServiceExt, service_fn};

fn main() {
    let layer = RetryLayer::new(Config::recommended(), HttpClassify::default());
    let service = layer.layer(service_fn(async |_: String| Ok::<u16, std::io::Error>(200)));
    let _ = ServiceExt::<String>::oneshot(service, String::new());
}
