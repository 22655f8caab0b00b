// A service that cannot be cloned.

use sandtower::circuit_breaker::CircuitBreakerLayer;
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxService};

fn main() {
    let boxed = BoxService::new(service_fn(async |_: ()| Ok::<u16, std::io::Error>(200)));
    let mut service = CircuitBreakerLayer::new("search").layer(boxed);
    let _ = ServiceExt::<()>::ready(&mut service);
    let _ = service.call(());
}
