// The argument of a predicate has no type.

use sandtower::circuit_breaker::CircuitBreakerLayer;
use tower::{Layer, ServiceExt, service_fn};

fn main() {
    let layer = CircuitBreakerLayer::new("search").failure_if(|status| *status >= 500);
    let service = layer.layer(service_fn(async |_: ()| Ok::<u16, std::io::Error>(200)));
    let _ = service.oneshot(());
}
