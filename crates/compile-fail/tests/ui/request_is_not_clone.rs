// A retry of requests that cannot be cloned.

use sandtower::core::ByResult;
use sandtower::retry::{Config, RetryLayer};
use tower::{Layer, ServiceExt, service_fn};

struct Upload;

fn main() {
    let layer = RetryLayer::new(Config::recommended(), ByResult::default());
    let service = layer.layer(service_fn(async |_: Upload| Ok::<u16, std::io::Error>(200)));
    let _ = ServiceExt::<Upload>::oneshot(service, Upload);
}
