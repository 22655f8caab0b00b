// The classifier is for another type of response than the service's.

use sandtower::circuit_breaker::CircuitBreakerLayer;
use tower::{Layer, ServiceExt, service_fn};

fn main() {
    let layer = CircuitBreakerLayer::new("search").failure_if(|status: &u16| *status >= 500);
    let service = layer.layer(service_fn(async |_: ()| Ok::<u32, std::io::Error>(200)));
    let _ = ServiceExt::<()>::oneshot(service, ());
}
