use super::*;

const SEAT: Seat = Seat { row: RowId::NONE, weight: 1 };

fn at(millis: u64) -> Tick {
    Tick::ZERO + Duration::from_millis(1_000_000 + millis)
}

fn waiters() -> Waiters {
    let longest_wait = Duration::from_secs(120);
    Waiters::new(Order { newest_first_after: Duration::from_secs(1), longest_wait })
}

#[test]
fn a_queue_stands_once_it_has_had_interactive_calls_for_too_long() {
    let mut waiters = waiters();
    let join = |waiters: &mut Waiters, priority, millis| {
        let info = RequestInfo::default().priority(priority);
        waiters.join(&info, SEAT, 1, at(millis), at(millis))
    };
    join(&mut waiters, Priority::Batch, 0);
    assert!(!waiters.stands(at(60_000)), "batch calls may wait");
    let [a, b] = [0, 500].map(|millis| join(&mut waiters, Priority::Interactive, millis));
    waiters.leave(a, true);
    assert_eq!([999, 1_000].map(|now| waiters.stands(at(now))), [false, true]);
    waiters.leave(b, true);
    assert!(!waiters.stands(at(60_000)));
    join(&mut waiters, Priority::Interactive, 5_000);
    assert_eq!([5_999, 6_000].map(|now| waiters.stands(at(now))), [false, true]);
    assert_eq!((waiters.waiting(), waiters.len()), ([1, 1, 0], 2));
}
