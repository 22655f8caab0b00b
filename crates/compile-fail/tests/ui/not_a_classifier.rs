// A closure where a classifier is wanted.

use sandtower::retry::{Config, RetryLayer};
use tower::{Layer, ServiceExt, service_fn};

fn main() {
    let layer = RetryLayer::new(Config::recommended(), |status: &u16| *status >= 500);
    let service = layer.layer(service_fn(async |_: ()| Ok::<u16, std::io::Error>(200)));
    let _ = ServiceExt::<()>::oneshot(service, ());
}
