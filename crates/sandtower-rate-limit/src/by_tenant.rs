use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{Tenant, Tenants};

/// How many tenants have a rate limit of their own in [`RateLimits`](crate::RateLimits), for how long,
/// and what they are called.
#[derive(Clone)]
#[must_use = "a configuration does nothing until rate limits are made of it"]
pub struct ByTenant {
    pub(crate) most: NonZeroUsize,
    pub(crate) forget_after: Duration,
    name: Option<Arc<Name>>,
}

type Name = dyn Fn(Tenant) -> String + Send + Sync;

impl ByTenant {
    /// `most` tenants at a time. One that is not in use is forgotten after 10 min without a call.
    pub const fn new(most: NonZeroUsize) -> Self {
        Self { most, forget_after: Duration::from_secs(10 * 60), name: None }
    }

    /// How long a tenant is remembered that is not in use.
    pub const fn forget_after(mut self, silence: Duration) -> Self {
        self.forget_after = silence;
        self
    }

    /// What a tenant is called: `E2B/acme` in events, rejections and snapshots, if `name` returns
    /// `acme` and the rate limits are called `E2B`. Default: the [id](Tenant::id) of the tenant, in
    /// hexadecimal digits.
    ///
    /// Called once whenever a tenant gets a rate limit, with no lock held.
    pub fn named(mut self, name: impl Fn(Tenant) -> String + Send + Sync + 'static) -> Self {
        self.name = Some(Arc::new(name));
        self
    }

    pub(crate) fn name(&self, tenant: Tenant) -> String {
        match &self.name {
            Some(name) if tenant != Tenant::OTHERS => name(tenant),
            _ => tenant.to_string(),
        }
    }
}

impl Default for ByTenant {
    /// 1,024 tenants.
    fn default() -> Self {
        Self::new(NonZeroUsize::new(1_024).unwrap_or(NonZeroUsize::MIN))
    }
}

/// The tenants of a table, each called by the name that it has there.
impl From<Tenants> for ByTenant {
    fn from(tenants: Tenants) -> Self {
        let most = usize::try_from(tenants.limit()).ok().and_then(NonZeroUsize::new);
        let by_tenant = most.map_or_else(Self::default, Self::new);
        by_tenant.named(move |tenant| tenants.profile(tenant).name.to_string())
    }
}

impl std::fmt::Debug for ByTenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { most, forget_after, .. } = self;
        f.debug_struct("ByTenant")
            .field("most", most)
            .field("forget_after", forget_after)
            .finish_non_exhaustive()
    }
}
