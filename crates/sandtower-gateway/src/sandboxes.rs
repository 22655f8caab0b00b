//! The sandboxes that the gateway has seen: whose they are, and the tokens that open them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandtower::core::Tick;
use sandtower::e2b::{Sandbox, SandboxId, Secret};

use crate::keys::TenantId;
use crate::proxy::Signed;
use crate::recent::cut;

/// The sandboxes that passed through the gateway: of creations, connects, listings, and of requests that
/// go into them. Bounded: the one that was not used for longest, of some, makes room.
#[derive(Debug)]
pub(crate) struct Sandboxes {
    table: Mutex<Table>,
    capacity: usize,
}

/// How many signatures are computed for one signed URL: those of the sandboxes used last.
const MOST_SIGNATURES: usize = 4_096;
/// Of how many sandboxes the one that makes room is the oldest.
const SAMPLE: usize = 8;

#[derive(Debug, Default)]
struct Table {
    places: HashMap<SandboxId, usize>,
    by_token: HashMap<Box<str>, SandboxId>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: SandboxId,
    tenant: Option<TenantId>,
    token: Option<Secret>,
    template: Option<Box<str>>,
    /// The name of the place where it is.
    home: Option<Arc<str>>,
    seen: Tick,
    used: Tick,
}

/// A sandbox, for operators.
#[derive(Clone, Debug)]
pub(crate) struct SandboxRow {
    pub(crate) id: SandboxId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) template: Option<Box<str>>,
    pub(crate) home: Option<Arc<str>>,
    /// How long the gateway has known it.
    pub(crate) known: Duration,
    /// How long ago it was last used through the gateway.
    pub(crate) unused: Duration,
}

/// Which sandbox a request for files is for, if it does not say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    One(SandboxId),
    /// No sandbox has this token or signature.
    None,
    /// The request shows neither, and more than one sandbox is there, or none.
    Unclear,
}

impl Sandboxes {
    /// Remembers `capacity` sandboxes, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { table: Mutex::default(), capacity: capacity.max(1) }
    }

    /// The service returned `sandbox` to `tenant`, in this place.
    pub(crate) fn returned(&self, sandbox: &Sandbox, tenant: TenantId, home: &Arc<str>) {
        let mut table = self.lock();
        table.make_room(self.capacity);
        let entry = table.entry(sandbox.id());
        entry.tenant = Some(tenant);
        entry.is_at(home);
        entry.template = sandbox.template().map(|template| cut(template).into());
        if let Some(token) = sandbox.access_token() {
            table.set_token(sandbox.id(), token.clone());
        }
    }

    /// A listing of this place showed the sandbox to `tenant`.
    pub(crate) fn listed(&self, id: &SandboxId, tenant: TenantId, home: &Arc<str>) {
        let mut table = self.lock();
        table.make_room(self.capacity);
        let entry = table.entry(id);
        entry.tenant = Some(tenant);
        entry.is_at(home);
    }

    /// The sandbox, in this place, took a request that showed `token`, if it showed one.
    pub(crate) fn took(&self, id: &SandboxId, token: Option<&str>, home: &Arc<str>) {
        let mut table = self.lock();
        let known = match table.used(id) {
            Some(entry) => {
                entry.is_at(home);
                entry.token.as_ref().map(Secret::expose)
            }
            None => {
                table.make_room(self.capacity);
                table.entry(id).is_at(home);
                None
            }
        };
        if let Some(token) = token.filter(|token| known != Some(token)) {
            table.set_token(id, Secret::new(token));
        }
    }

    /// The sandbox is gone.
    pub(crate) fn gone(&self, id: &SandboxId) {
        self.lock().remove(id);
    }

    /// Whether a caller has or had the sandbox, as far as is known.
    pub(crate) fn is_known(&self, id: &SandboxId) -> bool {
        self.lock().places.contains_key(id)
    }

    /// Whose sandbox it is, as far as is known.
    pub(crate) fn tenant_of(&self, id: &SandboxId) -> Option<TenantId> {
        self.lock().used(id)?.tenant
    }

    /// The sandbox was found in this place.
    pub(crate) fn found(&self, id: &SandboxId, home: &Arc<str>) {
        let mut table = self.lock();
        table.make_room(self.capacity);
        table.entry(id).is_at(home);
    }

    /// The place where the sandbox is, as far as is known.
    pub(crate) fn home_of(&self, id: &SandboxId) -> Option<Arc<str>> {
        self.lock().used(id)?.home.clone()
    }

    /// The sandbox that a request is for which shows a token, or a signature, or nothing.
    pub(crate) fn find(&self, token: Option<&str>, signed: Option<&Signed>) -> Found {
        if let Some(token) = token {
            return self.lock().by_token.get(token).cloned().map_or(Found::None, Found::One);
        }
        let Some(signed) = signed else {
            let table = self.lock();
            return match &*table.entries {
                [only] => Found::One(only.id.clone()),
                _ => Found::Unclear,
            };
        };
        // Hashed outside of the lock.
        let mut all: Vec<(Tick, SandboxId, Secret)> = {
            let table = self.lock();
            let with_token = table
                .entries
                .iter()
                .filter_map(|entry| Some((entry.used, entry.id.clone(), entry.token.clone()?)));
            with_token.collect()
        };
        if all.len() > MOST_SIGNATURES {
            all.sort_unstable_by_key(|(used, ..)| std::cmp::Reverse(*used));
            all.truncate(MOST_SIGNATURES);
        }
        let found = all.into_iter().find(|(_, _, token)| signed.is_by(token.expose()));
        found.map_or(Found::None, |(_, id, _)| Found::One(id))
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Those that have been known for longest, at most `most`, and how many each tenant has.
    pub(crate) fn oldest(
        &self,
        most: usize,
    ) -> (Vec<SandboxRow>, HashMap<Option<TenantId>, usize>) {
        let now = Tick::now();
        let table = self.lock();
        let owners: Vec<_> = table.entries.iter().map(|entry| entry.tenant).collect();
        let mut places: Vec<_> =
            table.entries.iter().enumerate().map(|(at, entry)| (entry.seen, at)).collect();
        if places.len() > most {
            places.select_nth_unstable(most);
            places.truncate(most);
        }
        places.sort_unstable();
        let row = |(_, at): (Tick, usize)| {
            let Entry { id, tenant, template, home, seen, used, .. } = &table.entries[at];
            let (known, unused) = (now.since(*seen), now.since(*used));
            SandboxRow {
                id: id.clone(),
                tenant: *tenant,
                template: template.clone(),
                home: home.clone(),
                known,
                unused,
            }
        };
        let rows = places.into_iter().map(row).collect();
        drop(table);
        let mut counts = HashMap::new();
        owners.into_iter().for_each(|owner| *counts.entry(owner).or_default() += 1);
        (rows, counts)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_at(&mut self, home: &Arc<str>) {
        if self.home.as_ref().is_none_or(|known| known != home) {
            self.home = Some(Arc::clone(home));
        }
    }
}

impl Table {
    /// The entry of a sandbox that is known, used now.
    fn used(&mut self, id: &SandboxId) -> Option<&mut Entry> {
        let place = *self.places.get(id)?;
        let entry = &mut self.entries[place];
        entry.used = Tick::now();
        Some(entry)
    }

    fn entry(&mut self, id: &SandboxId) -> &mut Entry {
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                self.places.insert(id.clone(), self.entries.len());
                let (id, used) = (id.clone(), Tick::now());
                let (tenant, token, template, home) = (None, None, None, None);
                self.entries.push(Entry { id, tenant, token, template, home, seen: used, used });
                self.entries.len() - 1
            }
        };
        let entry = &mut self.entries[place];
        entry.used = Tick::now();
        entry
    }

    fn set_token(&mut self, id: &SandboxId, token: Secret) {
        let before = self.entry(id).token.replace(token.clone());
        if let Some(before) = before {
            self.by_token.remove(before.expose());
        }
        self.by_token.insert(token.expose().into(), id.clone());
    }

    fn remove(&mut self, id: &SandboxId) {
        let Some(place) = self.places.remove(id) else { return };
        let entry = self.entries.swap_remove(place);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.id.clone(), place);
        }
        if let Some(token) = entry.token {
            self.by_token.remove(token.expose());
        }
    }

    fn make_room(&mut self, capacity: usize) {
        while self.entries.len() >= capacity {
            let sample = (0..SAMPLE).map(|_| &self.entries[fastrand::usize(..self.entries.len())]);
            let Some(oldest) = sample.min_by_key(|entry| entry.used) else { return };
            let oldest = oldest.id.clone();
            self.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> SandboxId {
        format!("i{number}").parse().unwrap()
    }

    fn sandbox(number: usize) -> Sandbox {
        Sandbox::new(id(number), Some(Secret::new(format!("token-{number}"))))
    }

    fn home() -> Arc<str> {
        "home".into()
    }

    fn tenant() -> TenantId {
        TenantId::of(b"e2b_1")
    }

    #[test]
    fn a_token_finds_its_sandbox_until_that_is_gone() {
        let sandboxes = Sandboxes::new(10);
        (0..3).for_each(|number| sandboxes.returned(&sandbox(number), tenant(), &home()));
        assert_eq!(sandboxes.find(Some("token-1"), None), Found::One(id(1)));
        assert_eq!(sandboxes.find(Some("token-9"), None), Found::None);
        sandboxes.gone(&id(1));
        assert_eq!(sandboxes.find(Some("token-1"), None), Found::None);
        assert_eq!(sandboxes.find(Some("token-2"), None), Found::One(id(2)));
    }

    #[test]
    fn a_signature_finds_the_sandbox_with_whose_token_it_was_made() {
        let sandboxes = Sandboxes::new(10);
        (0..3).for_each(|number| sandboxes.returned(&sandbox(number), tenant(), &home()));
        // Of `/a.txt:read:user:token-2`.
        let query = "path=%2Fa.txt&username=user&signature=v1_J9Lz9AUUdZvwpR7pL%2FkDfWEBBXZ4e%2B%2FwNKJoLFXhK%2BM";
        let signed = Signed::read(query, false).unwrap();
        assert_eq!(sandboxes.find(None, Some(&signed)), Found::One(id(2)));
        let written = Signed::read(query, true).unwrap();
        assert_eq!(sandboxes.find(None, Some(&written)), Found::None);
    }

    #[test]
    fn without_either_only_a_single_sandbox_is_found() {
        let sandboxes = Sandboxes::new(10);
        assert_eq!(sandboxes.find(None, None), Found::Unclear);
        sandboxes.listed(&id(0), tenant(), &home());
        assert_eq!(sandboxes.find(None, None), Found::One(id(0)));
        sandboxes.listed(&id(1), tenant(), &home());
        assert_eq!(sandboxes.find(None, None), Found::Unclear);
    }

    #[test]
    fn it_learns_tokens_from_what_passes_and_never_grows() {
        let sandboxes = Sandboxes::new(4);
        for number in 0..100 {
            sandboxes.took(&id(number), Some(&format!("token-{number}")), &home());
            sandboxes.took(&id(number), Some(&format!("newer-{number}")), &home());
            assert!(sandboxes.len() <= 4);
            let newest = sandboxes.find(Some(&format!("newer-{number}")), None);
            assert_eq!(newest, Found::One(id(number)));
            assert_eq!(sandboxes.find(Some(&format!("token-{number}")), None), Found::None);
            assert_eq!(sandboxes.tenant_of(&id(number)), None);
        }
        assert_eq!(sandboxes.lock().by_token.len(), 4);
    }
}
