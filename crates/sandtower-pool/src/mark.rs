//! What is written into the metadata of sandboxes in stock.

use std::time::Duration;

use crate::shape::Shape;
use crate::wall::Wall;

/// Dates of the service are rounded.
const ROUNDED: i64 = 2;

/// The mark of one sandbox, under [`POOL_KEY`](sandtower_e2b::POOL_KEY): its shape, its lifetime in seconds
/// and the process that created it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark<'a> {
    pub(crate) shape: &'a str,
    lifetime: i64,
    pub(crate) instance: &'a str,
}

impl<'a> Mark<'a> {
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split('.');
        let (shape, lifetime, instance) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { shape, lifetime: lifetime.parse().ok()?, instance })
    }

    /// The mark for a sandbox of `shape` that lives for `lifetime`.
    pub(crate) fn write(shape: &Shape, lifetime: Duration, instance: &str) -> String {
        format!("{}.{}.{instance}", shape.mark(), lifetime.as_secs())
    }

    /// Whether no caller has the sandbox, which was started at `start` and ends at `end`: the lifetime of one
    /// that was given to a caller was changed, so that it does not end when stock ends.
    pub(crate) fn is_untaken(&self, start: Wall, end: Wall) -> bool {
        (end.0 - start.0 - self.lifetime).abs() <= ROUNDED
    }
}

/// Whether a sandbox of which a listing says this waits in some pool's stock, and no caller has it: its
/// metadata under [`POOL_KEY`](sandtower_e2b::POOL_KEY), and when it was started and ends, as the service
/// writes dates.
///
/// A proxy hides such sandboxes from its callers, since a caller may kill all that it sees. If a caller sets the
/// end of its sandbox to that of stock, to within two seconds, the sandbox looks like stock, too: do not ask about
/// one that is known to be a caller's.
pub fn is_stock(mark: &str, started_at: &str, end_at: &str) -> bool {
    let dates = Wall::parse(started_at).zip(Wall::parse(end_at));
    Mark::read(mark).zip(dates).is_some_and(|(mark, (start, end))| mark.is_untaken(start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_differs_from_what_a_caller_has_by_its_end() {
        let started = "2026-11-22T04:01:37.5Z";
        for (mark, end, expected) in [
            ("0123.300.abcd", "2026-11-22T04:06:37Z", true),
            ("private.300.abcd", "2026-11-22T04:06:39Z", true),
            ("0123.300.abcd", "2026-11-22T04:06:47Z", false),
            ("0123.300.abcd", "2026-11-22T05:01:37Z", false),
            ("0123.300", "2026-11-22T04:06:37Z", false),
            ("a.b.c", "2026-11-22T04:06:37Z", false),
            ("", "2026-11-22T04:06:37Z", false),
            ("0123.300.abcd", "tomorrow", false),
        ] {
            assert_eq!(is_stock(mark, started, end), expected, "{mark} {end}");
        }
    }
}
