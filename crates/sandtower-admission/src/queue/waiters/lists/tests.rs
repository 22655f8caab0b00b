//! Two lists in one memory, the first against a plain sorted `Vec`.

use proptest::prelude::*;
use sandtower_core::Tick;

use super::{List, Lists, Place};

#[derive(Clone, Debug)]
enum Step {
    Join(u64),
    LeaveAt(prop::sample::Index),
    LeaveFront,
    LeaveTwice(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..50_u64).prop_map(Step::Join),
        1 => any::<prop::sample::Index>().prop_map(Step::LeaveAt),
        1 => Just(Step::LeaveFront),
        1 => any::<prop::sample::Index>().prop_map(Step::LeaveTwice),
    ]
}

proptest! {
    #[test]
    fn the_queue_is_in_order_of_arrival_whatever_joins_or_leaves(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut lists = Lists::new();
        let (mut list, mut other) = (List::default(), List::default());
        let mut model: Vec<(u64, u32, Place)> = Vec::new();
        let mut gone: Vec<Place> = Vec::new();
        for (id, step) in (0_u32..).zip(steps) {
            match step {
                Step::Join(arrived) => {
                    let place = lists.join(&mut list, Tick::from_nanos(arrived), id);
                    lists.join(&mut other, Tick::from_nanos(arrived), id);
                    let at = model.partition_point(|(other, ..)| *other <= arrived);
                    model.insert(at, (arrived, id, place));
                }
                Step::LeaveAt(index) if !model.is_empty() => {
                    let (_, id, place) = model.remove(index.index(model.len()));
                    prop_assert_eq!(lists.leave(&mut list, place), Some(id));
                    gone.push(place);
                }
                Step::LeaveFront if !model.is_empty() => {
                    let (_, id, place) = model.remove(0);
                    prop_assert_eq!(lists.leave(&mut list, place), Some(id));
                    gone.push(place);
                }
                Step::LeaveTwice(index) if !gone.is_empty() => {
                    let place = gone[index.index(gone.len())];
                    prop_assert_eq!(lists.get_mut(place), None);
                    prop_assert_eq!(lists.leave(&mut list, place), None);
                }
                _ => {}
            }
            prop_assert_eq!(list.len() as usize, model.len());
            let ids: Vec<u32> = model.iter().map(|(_, id, _)| *id).collect();
            let places: Vec<Place> = model.iter().map(|(.., place)| *place).collect();
            prop_assert_eq!(lists.places(list, false).collect::<Vec<_>>(), &places[..]);
            let behind: Vec<Place> = places.iter().rev().copied().collect();
            prop_assert_eq!(lists.places(list, true).collect::<Vec<_>>(), behind);
            let values: Vec<u32> =
                places.iter().filter_map(|place| lists.get(*place).copied()).collect();
            prop_assert_eq!(values, ids);
            for (ahead, (.., place)) in model.iter().enumerate() {
                prop_assert_eq!(lists.ahead(list, *place), Some(ahead));
            }
            let earlier = |at: u64| model.iter().filter(|(arrived, ..)| *arrived <= at).count();
            for at in [0, 10, 49] {
                prop_assert_eq!(lists.arrived_by(list, Tick::from_nanos(at)), earlier(at));
            }
        }
    }
}
