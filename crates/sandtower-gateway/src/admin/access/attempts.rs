use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sandtower::core::Tick;

/// How many wrong tokens one peer may show within [`WINDOW`].
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Peers that are remembered. One that is forgotten may try again, which is no help against a token of
/// 64 bits.
const PEERS: usize = 1_024;

/// The wrong tokens that peers have shown.
#[derive(Default)]
pub(super) struct Attempts {
    peers: Mutex<HashMap<IpAddr, (u32, Tick)>>,
}

impl Attempts {
    /// How long `peer` has to wait before its next try; `None`: it need not.
    pub(super) fn wait(&self, peer: IpAddr) -> Option<Duration> {
        let now = Tick::now();
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = *peers.get(&group(peer))?;
        let left = (since + WINDOW).since(now);
        (count >= MOST && !left.is_zero()).then_some(left)
    }

    /// `peer` has shown a wrong token.
    pub(super) fn failed(&self, peer: IpAddr) {
        let now = Tick::now();
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: Tick| now.since(since) >= WINDOW;
        if peers.len() >= PEERS {
            peers.retain(|_, (_, since)| !is_over(*since));
        }
        if peers.len() >= PEERS
            && let Some(oldest) = peers.iter().min_by_key(|(_, (_, since))| *since)
        {
            let oldest = *oldest.0;
            peers.remove(&oldest);
        }
        let (count, since) = peers.entry(group(peer)).or_insert((0, now));
        if is_over(*since) {
            (*count, *since) = (0, now);
        }
        *count += 1;
    }
}

/// The host: of IPv6 the network, within which a host has as many addresses as it likes.
fn group(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_eleventh_try_of_a_minute_has_to_wait_and_other_peers_need_not() {
        let attempts = Attempts::default();
        let [here, there]: [IpAddr; 2] =
            ["2001:db8::1", "2001:db8:1::1"].map(|it| it.parse().unwrap());
        for _ in 0..MOST {
            assert_eq!(attempts.wait(here), None);
            attempts.failed(here);
        }
        assert_eq!(attempts.wait("2001:db8::2".parse().unwrap()), Some(WINDOW));
        assert_eq!(attempts.wait(there), None);
        tokio::time::advance(WINDOW).await;
        assert_eq!(attempts.wait(here), None);
    }

    #[test]
    fn it_remembers_no_more_peers_than_it_may() {
        let attempts = Attempts::default();
        for peer in 0..5_000u32 {
            attempts.failed(IpAddr::V4(peer.into()));
        }
        assert!(attempts.peers.lock().unwrap().len() <= PEERS);
    }
}
