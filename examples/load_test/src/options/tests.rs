use super::*;

fn parse(line: &str) -> Result<Option<Options>, String> {
    Options::parse(line.split_whitespace().map(str::to_owned))
}

#[test]
fn without_options_it_is_the_stress_scenario_and_all_policies() {
    let options = parse("").unwrap().unwrap();
    assert_eq!((options.setups.len(), options.setups[0].name.as_str()), (1, "stress"));
    assert_eq!((options.policies, options.chosen), (Policy::ALL.to_vec(), false));
    assert_eq!((options.seeds, options.clock), (1..2, Clock::Virtual));
    assert!(parse("--help").unwrap().is_none());
}

#[test]
fn users_are_a_closed_loop_and_a_rate_is_an_open_one() {
    let shape = |line| parse(line).unwrap().unwrap().setups[0].load.shape;
    let users = Shape::Users { users: 3, queries: 5, warm: 10 };
    assert_eq!(shape("--users 3 --queries=5"), users);
    assert_eq!(shape("--users 3 --queries 5 --scenario outage"), users);
    let rate = Shape::Rate { per_second: 2.5, lasting: Duration::from_secs(120) };
    assert_eq!(shape("--rate 2.5 --duration 2min"), rate);
    let long = Shape::Rate { per_second: 0.5, lasting: Duration::from_secs(3_600) };
    assert_eq!(shape("--scenario outage --duration 1h"), long);
}

#[test]
fn a_target_is_in_real_time_and_bounded() {
    let options = parse("--target http://127.0.0.1:1 --max-sandboxes 4").unwrap().unwrap();
    assert_eq!(options.clock, Clock::Real);
    assert_eq!(options.target.unwrap().sandboxes, 4);
    let warm = Shape::Users { users: 6, queries: 2, warm: 4 };
    assert_eq!(options.setups[0].load.shape, warm);
    // An application that may have five sandboxes waits for one of them, whatever the policy.
    let open = "--target http://127.0.0.1:1 --max-sandboxes 5 --rate 3 --scenario outage";
    assert_eq!(parse(open).unwrap().unwrap().setups[0].load.places(), 5);
}

#[test]
fn mistakes_are_named_with_what_would_be_valid() {
    for (line, says) in [
        ("--user 3", "unknown option --user"),
        ("--users", "--users needs a value"),
        ("--users none", "--users is \"none\"; it must be a whole number"),
        ("--users 0", "--users is 0; it must be 1 to 100000"),
        ("--users 200000", "--users is 200000; it must be 1 to 100000"),
        (
            "--slo success>=101%",
            "--slo: `success>=101%`: `101%` is not a share such as 99%, 100% at most",
        ),
        ("--seeds 0", "--seeds is 0; it must be 1 to 1000000"),
        ("--rate -1", "--rate is \"-1\"; it must be queries a second, 0.001 to 10000"),
        ("--rate 1 --users 2", "--users and --queries are a closed loop"),
        ("--duration 60", "--duration is \"60\"; it must be a time such as 90s or 5min"),
        ("--duration 60s", "--duration requires --rate in this scenario"),
        ("--queries 2 --scenario outage", "--queries requires --users in this scenario"),
        ("--clock fast", "--clock is \"fast\"; it must be virtual or real"),
        (
            "--scenario flood",
            "--scenario: unknown scenario \"flood\", expected one of stress, outage,",
        ),
        ("--slo p95<1s", "--slo: `p95<1s`: unknown figure `p95`"),
        ("--target http://127.0.0.1:1 --clock virtual", "--target runs in real time"),
        ("--variations --scenario outage", "--variations are for the stress scenario"),
        ("--metrics 127.0.0.1:0", "--metrics requires real time"),
        ("--clock real --metrics here", "--metrics: \"here\" is no address"),
        ("--max-sandboxes 5", "this option requires --target"),
        ("--real-sandboxes-that-cost-money", "this option requires --target"),
    ] {
        let rejected = parse(line).unwrap_err();
        assert!(rejected.starts_with(says), "{line}: {rejected}");
    }
}
