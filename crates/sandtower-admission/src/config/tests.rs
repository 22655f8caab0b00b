use super::*;
use crate::{Adaptive, Stepwise};

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
            .slots_to_the_end(true),
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
