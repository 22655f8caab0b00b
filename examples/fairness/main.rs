//! What one tenant costs the others, and what becomes of calls in an outage: the tables of
//! `docs/fairness.md`. `cargo run --release -p examples --example fairness [-- SEEDS]`.

#![expect(clippy::print_stdout, reason = "a program: this is what it says")]

use std::time::Duration;

use examples::fairness::{Order, equal_tenants, noisy_neighbour, outage, priorities};
use sandtower::core::BoxError;

fn main() -> Result<(), BoxError> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(20), |seeds| seeds.parse())?;
    println!("{seeds} seeds; the worst of them\n");
    println!(
        "| order | least throughput of one | throughput of the nine | p99 wait | greedy | Jain |"
    );
    println!("|---|---|---|---|---|---|");
    for order in [Order::Fair, Order::Ignored] {
        let all = run(seeds, |seed| noisy_neighbour(order, seed))?;
        println!(
            "| {order:?} | {:.1} % | {:.1} % | {} | {:.1} % | {:.3} |",
            100.0 * least(&all, |run| run.others_throughput_worst),
            100.0 * least(&all, |run| run.others_throughput),
            longest(&all, |run| run.others_wait_p99),
            100.0 * least(&all, |run| run.greedy_of_the_rest),
            least(&all, |run| run.jain),
        );
    }
    println!("\n| order | Jain of ten that offer too much | capacity used |\n|---|---|---|");
    for order in [Order::Fair, Order::Ignored] {
        let all = run(seeds, |seed| equal_tenants(order, seed))?;
        let (jain, used) = (least(&all, |run| run.jain), least(&all, |run| run.used));
        println!("| {order:?} | {jain:.3} | {:.1} % |", 100.0 * used);
    }
    println!("\n| order | p99 wait alone | beside batch | batch gets |\n|---|---|---|---|");
    for order in [Order::Fair, Order::Ignored] {
        let all = run(seeds, |seed| priorities(order, seed))?;
        println!(
            "| {order:?} | {} | {} | {:.1} % |",
            longest(&all, |run| run.alone),
            longest(&all, |run| run.beside),
            100.0 * least(&all, |run| run.batch),
        );
    }
    println!(
        "\n| load of each class | rejected | later than 50 ms | held | served | last | peak | sent, probes |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, load) in [("1/12", 1.0 / 12.0), ("1/4", 0.25)] {
        let all = run(seeds, |seed| outage(load, seed))?;
        let sum = |of: fn(&examples::fairness::Outage) -> usize| all.iter().map(of).sum::<usize>();
        println!(
            "| {name} | {} | {} | {} | {:.1} % | {} | {:.2} | {}, {} |",
            sum(|run| run.rejected),
            sum(|run| run.rejected_late),
            sum(|run| run.held),
            100.0 * least(&all, |run| run.held_served as f64 / run.held as f64),
            longest(&all, |run| run.last_after),
            -least(&all, |run| -run.peak),
            all.iter().map(|run| run.sent_while_open).sum::<u64>(),
            all.iter().map(|run| run.probes).sum::<u64>(),
        );
    }
    Ok(())
}

fn run<T>(seeds: u64, one: impl Fn(u64) -> Result<T, BoxError>) -> Result<Vec<T>, BoxError> {
    (1..=seeds).map(one).collect()
}

fn least<T>(all: &[T], of: impl Fn(&T) -> f64) -> f64 {
    all.iter().map(of).fold(f64::INFINITY, f64::min)
}

fn longest<T>(all: &[T], of: impl Fn(&T) -> Duration) -> String {
    match all.iter().map(of).max() {
        Some(Duration::MAX) => "calls were lost".to_owned(),
        Some(time) => format!("{:.1} s", time.as_secs_f64()),
        None => String::new(),
    }
}
