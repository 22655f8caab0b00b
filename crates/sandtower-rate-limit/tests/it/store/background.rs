use std::sync::{Arc, mpsc};

use sandtower_rate_limit::StoreError;

use super::*;

/// Tells of each exchange how much was counted since the one before.
#[derive(Debug)]
struct Tells(mpsc::Sender<i64>);

impl Store for Tells {
    fn exchange(&self, ours: &[Entry], _: u64) -> Result<Vec<Entry>, StoreError> {
        self.0.send(total(ours)).unwrap();
        Ok(Vec::new())
    }

    fn cleanup(&self, _: u64) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn close(&self) {}
}

#[test]
fn in_the_background_it_exchanges_again_and_again_until_it_is_closed() {
    let (sender, exchanged) = mpsc::channel();
    let limit = RateLimit::with_store(config(), Arc::new(Tells(sender))).unwrap();
    limit.save_in_background();
    for _ in 0..2 {
        send(&limit, 3);
        let mut saved = 0;
        while saved < 3 {
            saved += exchanged.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        assert_eq!(saved, 3);
    }
    limit.close().unwrap();
    drop(limit);
    // The thread lets go of the store.
    let ends = std::iter::repeat_with(|| exchanged.recv_timeout(Duration::from_secs(60)));
    assert_eq!(ends.filter_map(Result::err).next(), Some(mpsc::RecvTimeoutError::Disconnected));
}
