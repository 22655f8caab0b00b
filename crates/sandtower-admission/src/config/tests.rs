use sandtower_core::TenantsConfig;

use super::*;
use crate::{Adaptive, AdmissionControl, Stepwise};

const READ: Operation = Operation::new(7, "read");
const WRITE: Operation = Operation::new(8, "write");

#[test]
fn what_is_written_is_read_again_as_it_was_and_what_no_file_has_is_inherited() {
    for config in [
        Config::new("any"),
        Config::new("any")
            .concurrency(Adaptive::recommended().initial(3).ceiling(9).tolerance(1.7))
            .concurrency_for(READ, Stepwise::recommended().initial(2).ceiling(4))
            .concurrency_for(WRITE, 5)
            .newest_first_after(Duration::MAX)
            .newest_first_after_for(READ, Duration::from_nanos(1))
            .longest_wait(Duration::ZERO)
            .admit_during_shutdown(WRITE)
            .slots_to_the_end(true)
            .queue(3)
            .hold_through_outage([Priority::Interactive])
            .concurrency_total(6)
            .concurrency_per_tenant(7)
            .rate(Rate::pace("any", Duration::from_secs(1)).operation(READ).per_tenant(true))
            .weight_for(WRITE, NonZeroU32::new(8).unwrap())
            .shadow(true)
            .tenants(Tenants::new(TenantsConfig::default())),
    ] {
        let text = serde_json::to_string(&config).unwrap();
        let again: Config = serde_json::from_str(&text).unwrap();
        let again = again.inherit(&config);
        assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
    }
}

#[test]
fn what_is_set_for_an_operation_is_found_by_its_name_and_the_last_call_wins() {
    let config = Config::new("any").concurrency(1).concurrency_for(READ, 2);
    let config = config.concurrency_for(READ, 3).newest_first_after_for(READ, Duration::MAX);
    let renumbered = Operation::new(200, "read");
    assert_eq!(config.limit_of(renumbered), Limit::Fixed(3));
    assert_eq!(config.order(renumbered).newest_first_after, Duration::MAX);
    assert_eq!(config.limit_of(WRITE), Limit::Fixed(1));
    assert_eq!(config.order(WRITE).newest_first_after, Duration::from_secs(1));
}

#[test]
fn a_limit_is_a_number_or_names_its_algorithm() {
    for (text, limit) in [
        ("5", Limit::Fixed(5)),
        (r#"{"adaptive": {}}"#, Adaptive::recommended().into()),
        (r#"{"stepwise": {"ceiling": 4}}"#, Stepwise::recommended().ceiling(4).into()),
    ] {
        assert_eq!(serde_json::from_str::<Limit>(text).unwrap(), limit);
    }
    for text in ["-1", r#""many""#, r#"{"fixed": 5}"#, r#"{"adaptive": {"floor": 2}}"#, "null"] {
        let error = serde_json::from_str::<Limit>(text).unwrap_err().to_string();
        assert!(error.contains("expected a number, `{ adaptive = {..} }`"), "{text}: {error}");
    }
}

#[test]
fn a_limit_that_would_admit_nothing_is_invalid_wherever_it_is_set() {
    let config = || Config::new("any");
    for (config, is_valid) in [
        (config().concurrency(1), true),
        (config().concurrency(0), false),
        (config().concurrency_for(READ, 0), false),
        (config().concurrency_total(1), true),
        (config().concurrency_total(0), false),
        (config().concurrency_per_tenant(1), true),
        (config().concurrency_per_tenant(0), false),
        (config().concurrency(Adaptive::recommended().initial(0)), false),
        (config().concurrency(Adaptive::recommended().ceiling(0)), false),
        (config().concurrency(Adaptive::recommended().tolerance(1.01)), true),
        (config().concurrency(Adaptive::recommended().tolerance(1.0)), false),
        (config().concurrency(Adaptive::recommended().tolerance(f64::NAN)), false),
        (config().concurrency(Adaptive::recommended().tolerance(f64::INFINITY)), false),
        (config().concurrency(Stepwise::recommended().initial(0)), false),
        (config().concurrency(Stepwise::recommended().ceiling(0)), false),
        (config().rate(Rate::new("any", 0, Duration::from_secs(1))), false),
    ] {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(AdmissionControl::new(config).is_ok(), is_valid, "{text}");
    }
}

#[test]
fn a_limit_set_at_run_time_is_checked_and_one_that_is_invalid_changes_nothing() {
    let config = Config::new("any").concurrency_total(4).rate(Rate::pace("any", Duration::MAX));
    let control = AdmissionControl::new(config).unwrap();
    assert!(control.set_concurrency(READ, 0).is_err());
    assert!(control.set_concurrency(READ, Adaptive::recommended().tolerance(0.9)).is_err());
    assert!(control.set_concurrency_total(Some(0)).is_err());
    assert!(control.set_concurrency_per_tenant(Some(0)).is_err());
    assert!(control.set_rate(&Rate::new("any", 0, Duration::from_secs(1))).is_err());
    assert_eq!(control.snapshot().concurrency_total, Some(4));

    control.set_concurrency(READ, 1).unwrap();
    control.set_concurrency_total(None).unwrap();
    control.set_concurrency_per_tenant(Some(1)).unwrap();
    control.set_rate(&Rate::new("any", 1, Duration::from_secs(1))).unwrap();
    let snapshot = control.snapshot();
    assert_eq!((snapshot.concurrency_total, snapshot.queues[0].limit), (None, 1));
}
