//! The check of the fuzz target, over its seeds and over random changes to them.

use std::{fs, path::Path};

use proptest::prelude::*;

#[path = "../../../../fuzz/checks/route.rs"]
mod check;

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/route");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn the_seeds_of_the_fuzz_target_pass() {
    let seeds = seeds();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| check::route_of(seed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn changed_seeds_pass(
        seed in prop::sample::select(seeds()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut changed = seed;
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        changed.truncate(1 + cut.index(changed.len()));
        check::route_of(&changed);
    }
}
