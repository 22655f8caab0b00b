// A service that cannot be cloned.

use sandtower::circuit_breaker::CircuitBreakerLayer;
use tower::{Layer, ServiceExt, service_fn, util::BoxService};

fn main() {
    let boxed = BoxService::new(service_fn(async |_: ()| Ok::<u16, std::io::Error>(200)));
    let service = CircuitBreakerLayer::new("search").layer(boxed);
    let _ = ServiceExt::<()>::oneshot(service, ());
}
