//! From hand-written retries and a breaker to the stack, in steps: the table of `docs/migration.md`.
//!
//! ```sh
//! cargo run -p examples --example migration              # all steps
//! cargo run -p examples --example migration -- 2         # the second
//! cargo run -p examples --example migration -- all 20    # all, over 20 seeds
//! ```
//!
//! Each step runs the same users against the same simulated E2B, in virtual time.

mod steps;
mod today;
mod world;

use std::env;

use sandtower::core::BoxError;

use world::Seen;

const STEPS: u32 = 6;

fn main() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let step = arguments.next().unwrap_or_else(|| String::from("all"));
    let seeds = arguments.next().map_or(Ok(1), |seeds| seeds.parse::<u64>());
    let all = 0..STEPS;
    let steps = match step.parse::<u32>() {
        Ok(step) if all.contains(&step) => step..step + 1,
        Err(_) if step == "all" => all,
        _ => return Err("migration [step] [seeds]: a step is 0 to 5, or all".into()),
    };
    let seeds = seeds.map_err(|error| format!("migration [step] [seeds]: seeds: {error}"))?;
    say(Seen::HEADER);
    for step in steps {
        let mut all = Seen::default();
        for seed in 1..=seeds {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_time().start_paused(true).build()?;
            all.add(&runtime.block_on(take(step, seed))?);
        }
        say(&all.row(step));
    }
    Ok(())
}

async fn take(step: u32, seed: u64) -> Result<Seen, BoxError> {
    let (http, config) = (world::simulator(seed)?, world::config()?);
    match step {
        0 => steps::step_0(http, config).await,
        1 => steps::step_1(http, config).await,
        2 => steps::step_2(http, config).await,
        3 => steps::step_3(http, config).await,
        4 => steps::step_4(http, config).await,
        _ => steps::step_5(http, config).await,
    }
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
