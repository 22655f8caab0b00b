use proptest::prelude::*;

use sandtower_core::Seed;

use super::*;

const RETURN: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(seconds)
}

fn memory() -> Memory {
    Memory::new(3, RETURN, LEASE, Seed::fixed(1).rng())
}

/// A memory that left the first place for the second at 0 s.
fn moved() -> Memory {
    let mut memory = memory();
    let route = memory.begin(at(0));
    assert_eq!(memory.responded(&route, 1, at(0)), Some(Move { from: 0, to: 1 }));
    memory
}

fn way(route: &Route) -> Vec<usize> {
    (0..).map_while(|step| route.place(step, 3)).collect()
}

#[test]
fn a_call_goes_through_all_places_from_the_current_one_on() {
    let mut memory = memory();
    assert_eq!(way(&memory.begin(at(0))), [0, 1, 2]);
    let route = memory.begin(at(0));
    memory.responded(&route, 2, at(0));
    assert_eq!(way(&memory.begin(at(0))), [2, 0, 1]);
}

#[test]
fn after_a_failure_calls_start_where_it_got_its_response() {
    assert_eq!(way(&moved().begin(at(1))), [1, 0, 2]);
}

#[test]
fn one_call_at_a_time_probes_from_the_first_place_on() {
    let mut memory = moved();
    assert!(!memory.begin(at(44)).looks());
    let look = memory.begin(at(60));
    assert_eq!((look.looks(), way(&look)), (true, vec![0, 1, 2]));
    assert!(!memory.begin(at(60)).looks(), "there are two at a time");
    assert_eq!(memory.responded(&look, 0, at(61)), Some(Move { from: 1, to: 0 }));
    assert_eq!(way(&memory.begin(at(61))), [0, 1, 2]);
}

#[test]
fn a_failed_probe_is_not_repeated_before_its_time() {
    let mut memory = moved();
    let look = memory.begin(at(60));
    assert_eq!(memory.responded(&look, 1, at(62)), None);
    assert!(!memory.begin(at(106)).looks());
    assert!(memory.begin(at(122)).looks());
}

#[test]
fn processes_that_left_together_do_not_come_back_together() {
    let seed = Seed::fixed(1);
    let mut due: Vec<_> = (0..1_000)
        .map(|_| {
            let mut memory = Memory::new(3, RETURN, LEASE, seed.rng());
            let route = memory.begin(at(0));
            memory.responded(&route, 1, at(0));
            memory.look_at
        })
        .collect();
    due.sort_unstable();
    let nearest = due.windows(20).map(|near| near[19].since(near[0])).min();
    assert!(nearest > Some(Duration::from_millis(10)), "20 within {nearest:?}");
}

#[test]
fn a_dropped_probe_ends_its_lease() {
    let mut memory = moved();
    let look = memory.begin(at(60));
    memory.over(&look, at(62));
    assert!(memory.begin(at(122)).looks());
}

#[test]
fn a_probe_that_outlives_its_lease_is_ignored_and_repeated() {
    let mut memory = moved();
    let hung = memory.begin(at(60));
    assert!(!memory.begin(at(69)).looks());
    let second = memory.begin(at(70));
    assert!(second.looks());
    assert_eq!(memory.responded(&hung, 0, at(71)), None);
    memory.over(&hung, at(71));
    assert!(!memory.begin(at(71)).looks(), "the dead look ended the lease of the living");
    assert_eq!(memory.responded(&second, 0, at(72)), Some(Move { from: 1, to: 0 }));
}

#[test]
fn the_result_of_a_call_from_before_a_move_is_ignored() {
    let mut memory = memory();
    let old = memory.begin(at(0));
    let route = memory.begin(at(0));
    memory.responded(&route, 1, at(1));
    assert_eq!(memory.responded(&old, 2, at(2)), None);
    assert_eq!(memory.lost(&old, 0, at(2)), None);
    assert_eq!(memory.responded(&old, 0, at(2)), None);
    assert_eq!(memory.seat().place, 1);
}

#[test]
fn a_call_that_may_not_be_sent_elsewhere_makes_the_next_start_elsewhere() {
    let mut memory = memory();
    for next in [1, 2, 0] {
        let route = memory.begin(at(0));
        let from = memory.seat().place;
        assert_eq!(memory.lost(&route, from, at(0)), Some(Move { from, to: next }));
    }
    let mut alone = Memory::new(1, RETURN, LEASE, Seed::fixed(1).rng());
    let route = alone.begin(at(0));
    assert_eq!(alone.lost(&route, 0, at(0)), None);
}

#[test]
fn a_reset_returns_to_the_first_place_and_ignores_calls_in_flight() {
    let mut memory = moved();
    let look = memory.begin(at(60));
    assert_eq!(memory.reset(at(61)), Some(Move { from: 1, to: 0 }));
    assert_eq!(memory.responded(&look, 2, at(61)), None);
    assert_eq!(memory.reset(at(62)), None);
}

/// What happens to the memory, in any order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begin,
    Pass(u64),
    Answered(usize, usize),
    Lost(usize, usize),
    Over(usize),
    Reset,
}

fn event() -> impl Strategy<Value = Event> {
    let (call, place) = (0..8_usize, 0..3_usize);
    prop_oneof![
        4 => Just(Event::Begin),
        3 => (1..40_u64).prop_map(Event::Pass),
        4 => (call.clone(), place.clone()).prop_map(|(call, place)| Event::Answered(call, place)),
        2 => (call.clone(), place).prop_map(|(call, place)| Event::Lost(call, place)),
        2 => call.prop_map(Event::Over),
        1 => Just(Event::Reset),
    ]
}

/// The reference model: everything that a call may change is looked up in a list of calls in flight.
#[derive(Default)]
struct Model {
    place: usize,
    /// When the next call looks, as it was drawn.
    due: Tick,
    /// The looking call and when it began.
    looking: Option<(usize, u64)>,
    /// By call: whether nothing moved since it began.
    present: Vec<bool>,
}

impl Model {
    fn begin(&mut self, now: u64) -> bool {
        let call = self.present.len();
        self.present.push(true);
        let leased = self.looking.is_some_and(|(_, began)| now < began + LEASE.as_secs());
        let looks = self.place != 0 && at(now) >= self.due && !leased;
        if looks {
            self.looking = Some((call, now));
        }
        looks
    }

    fn counts(&self, call: usize, looks: bool, now: u64) -> bool {
        let holds = |(holder, began)| holder == call && now < began + LEASE.as_secs();
        self.present[call] && (!looks || self.looking.is_some_and(holds))
    }

    fn go(&mut self, place: usize, memory: &Memory, now: u64) {
        self.place = place;
        self.present.iter_mut().for_each(|present| *present = false);
        self.end_look(memory, now);
    }

    fn end_look(&mut self, memory: &Memory, now: u64) {
        (self.looking, self.due) = (None, memory.look_at);
        let wait = self.due.since(at(now));
        assert!(RETURN * 3 / 4 <= wait && wait <= RETURN, "{wait:?}");
    }
}

proptest! {
    #[test]
    fn the_memory_agrees_with_its_model(events in prop::collection::vec(event(), 1..200)) {
        let (mut memory, mut model, mut now) = (memory(), Model::default(), 0);
        let mut routes: Vec<Route> = Vec::new();
        for event in events {
            match event {
                Event::Begin => {
                    let route = memory.begin(at(now));
                    prop_assert_eq!(route.looks(), model.begin(now));
                    routes.push(route);
                }
                Event::Pass(seconds) => now += seconds,
                Event::Reset => {
                    memory.reset(at(now));
                    if model.place != 0 {
                        model.go(0, &memory, now);
                    }
                }
                Event::Answered(back, place) => {
                    let Some(call) = routes.len().checked_sub(back + 1) else { continue };
                    let counts = model.counts(call, routes[call].looks(), now);
                    memory.responded(&routes[call], place, at(now));
                    if counts && place != model.place {
                        model.go(place, &memory, now);
                    } else if counts && routes[call].looks() {
                        model.end_look(&memory, now);
                    }
                }
                Event::Lost(back, place) => {
                    let Some(call) = routes.len().checked_sub(back + 1) else { continue };
                    let counts = model.counts(call, routes[call].looks(), now);
                    memory.lost(&routes[call], place, at(now));
                    if counts && place == model.place {
                        model.go((place + 1) % 3, &memory, now);
                    } else if counts && routes[call].looks() {
                        model.end_look(&memory, now);
                    }
                }
                Event::Over(back) => {
                    let Some(call) = routes.len().checked_sub(back + 1) else { continue };
                    let looks = routes[call].looks();
                    memory.over(&routes[call], at(now));
                    if looks && model.counts(call, looks, now) {
                        model.end_look(&memory, now);
                    }
                }
            }
            prop_assert_eq!(memory.seat().place, model.place);
        }
    }

    #[test]
    fn a_route_visits_each_place_once(places in 1..20_usize, begin in 0..20_usize) {
        let route = Route::at(Seat { place: begin % places, generation: 0 });
        let mut way: Vec<_> = (0..).map_while(|step| route.place(step, places)).collect();
        prop_assert_eq!(way[0], begin % places);
        way.sort_unstable();
        prop_assert_eq!(way, (0..places).collect::<Vec<_>>());
    }
}
