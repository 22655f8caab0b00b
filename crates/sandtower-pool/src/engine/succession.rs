//! One pool after another in the same process: the later one takes over what the earlier one has.

use std::collections::BTreeMap;

use sandtower_core::Tick;
use sandtower_e2b::SandboxId;

use super::{Engine, Kind};
use crate::items::{Item, ItemState};

impl Engine {
    /// Creates and returns nothing more from here on. Idle stock waits for a [successor](Self::take_over)
    /// until it is old; if it `ends`, the next [plan](Self::plan) kills it.
    pub(crate) fn close(&mut self, ends: bool, now: Tick) {
        self.pay(now);
        self.is_shut_down = true;
        if ends {
            // Stock of no kind is of no use.
            self.kinds.clear();
        }
    }

    /// Takes over what is idle in the stock of `before`, as far as it fits, and what `before` knows of demand.
    /// What it leaves there, the next [plan](Self::plan) of `before` kills.
    pub(crate) fn take_over(&mut self, before: &mut Self, now: Tick) {
        before.close(false, now);
        self.pay(now);
        self.hours = before.hours;
        self.finds_by_marks &= before.finds_by_marks;
        let mut numbers = BTreeMap::new();
        for kind in std::mem::take(&mut before.kinds) {
            let old = kind.number;
            if let Some(new) = self.inherit_kind(kind) {
                numbers.insert(old, new);
            }
        }
        let is_free = |item: &&Item| item.state == ItemState::Idle && item.session.is_none();
        let items: Vec<Item> = before.stock.items().iter().filter(is_free).cloned().collect();
        // The newest live longest.
        for item in items.into_iter().rev() {
            let Some(&shape) = numbers.get(&item.shape) else { continue };
            if self.in_stock() >= self.most() {
                break;
            }
            before.stock.remove(&item.id);
            self.stock.put(Item { shape, ..item });
        }
        self.note_stock();
    }

    /// Whether the sandbox is in stock, and no caller is about to have it.
    pub(crate) fn is_waiting(&self, id: &SandboxId) -> bool {
        self.stock.get(id).is_some_and(|item| !matches!(item.state, ItemState::Taken(_)))
    }

    /// The number of the kind here, if it is one that is kept.
    fn inherit_kind(&mut self, kind: Kind) -> Option<u32> {
        let own = self.kinds.iter_mut().find(|own| own.shape == kind.shape);
        if let Some(own) = own {
            let (number, is_configured) = (own.number, own.is_configured);
            let (hits, misses, target) = (own.hits, own.misses, own.target);
            *own = Kind { number, is_configured, hits, misses, target, ..kind };
            return Some(number);
        }
        let learned = self.kinds.iter().filter(|kind| !kind.is_configured).count();
        if learned >= self.config.learn as usize || kind.shape.has_metadata() {
            return None;
        }
        let number = self.next_kind;
        self.next_kind += 1;
        let (hits, misses, target) = (0, 0, 0);
        self.kinds.push(Kind { number, is_configured: false, hits, misses, target, ..kind });
        Some(number)
    }

    /// The most that may be in stock: less what an earlier pool still has.
    pub(super) fn most(&self) -> u32 {
        self.config.max.min(self.config.affordable()).saturating_sub(self.beside)
    }
}
