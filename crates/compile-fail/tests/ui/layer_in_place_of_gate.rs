// A layer where admission control takes a gate.

use sandtower::admission::{AdmissionLayer, Config};
use sandtower::circuit_breaker::CircuitBreakerLayer;

fn main() {
    let _ = AdmissionLayer::with_gates(Config::new("E2B"), CircuitBreakerLayer::new("E2B"));
}
