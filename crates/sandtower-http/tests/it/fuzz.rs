//! The checks of the fuzz targets, over their seeds and over random input.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[path = "../../../../fuzz/checks/header_fields.rs"]
mod check;

#[test]
fn the_seeds_of_the_fuzz_target_pass() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/header_fields");
    let files: Vec<_> = fs::read_dir(seeds).unwrap().collect();
    assert!(!files.is_empty());
    for file in files {
        check::header_fields(&fs::read(file.unwrap().path()).unwrap());
    }
}

/// A header that some parser reads, with values that it may stumble over.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let name = "retry-after(-ms)?|date|age|(x-)?should-retry|ratelimit(-policy)?\
        |(x-)?ratelimit-(limit|remaining|reset|reset-after)|grpc-status|grpc-retry-pushback-ms";
    let value = prop_oneof![
        "[0-9.,;=\"a-z :+-]{0,40}".prop_map(String::into_bytes),
        "\"?a\"?;[rq]=[0-9]{1,16}(;[tw]=[0-9]{1,16})?".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    (name, value).prop_map(|(name, value)| [name.as_bytes(), b": ", &value].concat())
}

proptest! {
    #[test]
    fn whatever_a_peer_sends_the_check_of_the_fuzz_target_passes(
        lines in proptest::collection::vec(line(), 0..8),
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        check::header_fields(&lines.join(&b'\n'));
        check::header_fields(&noise);
    }
}
