//! Metastable failures: does a service recover from an overload? Each scenario, with the whole stack and
//! with a component disabled; the median and the worst of 20 seeds.
//!
//! `cargo run --release -p examples --example metastability [-- SEEDS [SCENARIO [WITHOUT]]]`: parts of the names of
//! the rows to run.

#![expect(clippy::print_stdout, reason = "a program prints its output")]

use std::time::Duration;

use examples::metastability::{Result, Scenario, Without, run};
use sandtower::core::BoxError;

fn main() -> std::result::Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().map_or(Ok(20), |seeds| seeds.parse())?;
    let only = [arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default()];
    let mut scenarios = Vec::new();
    for load in [0.7, 0.85, 0.95] {
        scenarios
            .push((format!("capacity / 5 for 30 s at {load}"), Scenario::CapacityDrop { load }));
    }
    scenarios.push(("total loss for 10 s at 0.85".to_owned(), Scenario::Loss { load: 0.85 }));
    scenarios.push(("load x 3 for 20 s at 0.85".to_owned(), Scenario::Surge { load: 0.85 }));
    for load in [2.0, 5.0, 10.0] {
        scenarios.push((format!("overload x {load}"), Scenario::Overload { load }));
    }
    println!("{seeds} seeds; recovery: median (worst); useful work: mean (worst)\n");
    println!("| scenario | without | recovery | useful work |\n|---|---|---|---|");
    for (name, scenario) in &scenarios {
        for without in Without::ALL {
            if !name.contains(&only[0]) || !format!("{without:?}").contains(&only[1]) {
                continue;
            }
            let results = (1..=seeds).map(|seed| run(*scenario, without, seed));
            let results = results.collect::<std::result::Result<Vec<_>, _>>()?;
            let recovery = match scenario {
                Scenario::Overload { .. } => String::new(),
                _ => recovery(&results),
            };
            println!("| {name} | {without:?} | {recovery} | {} |", useful(&results));
        }
    }
    Ok(())
}

fn recovery(results: &[Result]) -> String {
    let mut times: Vec<_> =
        results.iter().map(|result| result.recovery.unwrap_or(Duration::MAX)).collect();
    times.sort();
    let shown = |time: Option<&Duration>| match time {
        Some(&Duration::MAX) | None => "never".to_owned(),
        Some(time) => format!("{:.1} s", time.as_secs_f64()),
    };
    format!("{} ({})", shown(times.get(times.len() / 2)), shown(times.last()))
}

fn useful(results: &[Result]) -> String {
    let mean = results.iter().map(|result| result.useful).sum::<f64>() / results.len() as f64;
    let worst = results.iter().map(|result| result.useful).fold(f64::INFINITY, f64::min);
    format!("{:.1} % ({:.1} %)", 100.0 * mean, 100.0 * worst)
}
