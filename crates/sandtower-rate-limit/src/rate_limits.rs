use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sandtower_core::{
    Completion, Deferred, Gate, No, Now, RequestInfo, Subscriber, Tenant, Tick, Verdict,
};
use serde::Serialize;

use crate::shared::Common;
use crate::tenant_table::Table;
use crate::{ByTenant, Config, ConfigError, Permit, RateLimit, Snapshot};

/// A rate limit for each [`Tenant`]: what one sends does not count for another. As a [`Gate`] it asks
/// the rate limit of the [tenant of the request](RequestInfo::tenant).
///
/// All of them have the same [`Config`]. They count in memory. What a server says of its limit concerns
/// all tenants, so [turn learning off](Config::longest_hold) here, and leave it to one [`RateLimit`]
/// that all of them share.
///
/// A tenant gets its rate limit with its first call. Never more tenants than [`ByTenant::new`] allows
/// have one of their own. For a newcomer beyond them, one is forgotten that is not in use. If there is
/// none, the newcomer shares one more rate limit, `others`, with all that find no room here or in a
/// table of [`Tenants`](sandtower_core::Tenants); a `WARN` event says so once, `rate limit table full:
/// new tenants share one rate limit`, with the fields `name` and `max_tenants`.
///
/// A rate limit is in use while an attempt is in flight, while it holds anything back, and while it has
/// counted an attempt that matters to a [limit](Config::limit) or a [pace](Config::pace): no count is
/// forgotten to make room. A tenant that shares a rate limit gets its own when there is room and the
/// shared one does not hold it back.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::{Operation, TenantProfile, Tenants};
/// use sandtower_rate_limit::{Config, Pace, RateLimits};
///
/// let tenants = Tenants::default();
/// let acme = tenants.set("key-of-acme", TenantProfile::new("acme"))?;
/// let pace = Pace::every(Duration::from_secs(1));
/// let config = Config::new("E2B").pace(Operation::CALL, pace).longest_hold(Duration::ZERO);
/// let limits = RateLimits::new(config, tenants.into())?;
///
/// assert_eq!(limits.of(acme).name(), "E2B/acme");
/// # Ok::<(), sandtower_core::BoxError>(())
/// ```
#[derive(Clone)]
pub struct RateLimits {
    shared: Arc<Shared>,
}

struct Shared {
    common: Arc<Common>,
    by_tenant: ByTenant,
    /// Before a rate limit's lock, never after.
    rows: Mutex<Rows>,
}

struct Rows {
    table: Table,
    /// When to look next for tenants that had no call for a while.
    sweep_at: Tick,
}

/// What [`RateLimits`] give for one attempt: the permit of one of them.
#[derive(Debug)]
#[must_use = "a permit has to be recorded"]
pub struct TenantPermit {
    limit: RateLimit,
    permit: Permit,
}

/// What a tenant sent within the window. Serializes flat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TenantSnapshot {
    /// The name of the rate limit, with that of the tenant in it: `E2B/acme`.
    pub name: String,
    /// What was sent.
    #[serde(flatten)]
    pub operations: Snapshot,
}

impl RateLimits {
    /// A rate limit with this configuration for each tenant.
    ///
    /// # Errors
    ///
    /// The config is invalid; the error says what would be right.
    pub fn new(config: Config, by_tenant: ByTenant) -> Result<Self, ConfigError> {
        config.check()?;
        let sweep_at = Tick::now() + by_tenant.forget_after;
        let rows = Rows { table: Table::new(by_tenant.most.get()), sweep_at };
        let (common, rows) = (Common::new(config), Mutex::new(rows));
        Ok(Self { shared: Arc::new(Shared { common, by_tenant, rows }) })
    }

    /// The name that their user gave them.
    pub fn name(&self) -> &str {
        &self.config().name
    }

    /// How they were configured.
    pub fn config(&self) -> &Config {
        &self.shared.common.config
    }

    /// The rate limit that a call of `tenant` would ask now. Creates one if there is none, as a call
    /// would; it is not forgotten while the handle is held.
    pub fn of(&self, tenant: Tenant) -> RateLimit {
        let request = RequestInfo::default().tenant(tenant);
        self.limit(&request, &Now::new(), &mut Deferred::new())
    }

    /// Whether all of them are in [shadow mode](Config::shadow).
    pub fn is_shadow(&self) -> bool {
        self.shared.common.is_shadow()
    }

    /// Has all of them enter [shadow mode](Config::shadow), or leave it: those of later tenants too.
    pub fn set_shadow(&self, shadow: bool) {
        self.shared.common.set_shadow(shadow);
    }

    /// How many tenants have a rate limit of their own.
    pub fn len(&self) -> usize {
        self.rows().table.len()
    }

    /// Whether no tenant has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tenants were forgotten so far.
    pub fn forgotten(&self) -> u64 {
        self.rows().table.forgotten()
    }

    /// What each tenant sent within the window that ends now, by name; what is shared comes last.
    pub fn snapshots(&self) -> Vec<TenantSnapshot> {
        let copied = |(tenant, limit): (_, &RateLimit)| (tenant == Tenant::OTHERS, limit.clone());
        let mut limits: Vec<_> = self.rows().table.all().map(copied).collect();
        limits.sort_by(|(a, one), (b, other)| (a, one.name()).cmp(&(b, other.name())));
        let read = |(_, limit): (_, RateLimit)| TenantSnapshot {
            name: limit.name().to_owned(),
            operations: limit.snapshot(),
        };
        limits.into_iter().map(read).collect()
    }

    fn limit(&self, request: &RequestInfo, now: &Now, later: &mut Deferred) -> RateLimit {
        let (tenant, tick) = (request.tenant, now.tick());
        let has_room = {
            let mut rows = self.rows();
            rows.sweep(tick, &self.shared.by_tenant);
            if let Some(limit) = rows.table.used(tenant, tick) {
                return limit;
            }
            // What holds it back must not be left by way of a new row.
            let is_held = |shared: &RateLimit| shared.check(Some(request), now).is_some();
            let stays = tenant == Tenant::OTHERS || rows.table.others().is_some_and(is_held);
            if stays {
                return rows.table.share(|| self.create(Tenant::OTHERS));
            }
            rows.table.make_room(tick)
        };
        // Its user's function is not called under the lock.
        let own = has_room.then(|| self.create(tenant));
        let mut rows = self.rows();
        if let Some(limit) = own.and_then(|own| rows.table.insert(tenant, own, tick)) {
            return limit;
        }
        if rows.table.overflow() {
            let (name, most) = (Arc::clone(&self.config().name), self.shared.by_tenant.most);
            later.run(move || write_full(&name, most.get()));
        }
        rows.table.share(|| self.create(Tenant::OTHERS))
    }

    fn create(&self, tenant: Tenant) -> RateLimit {
        let name = format!("{}/{}", self.name(), self.shared.by_tenant.name(tenant));
        RateLimit::one_of(&self.shared.common, name.into())
    }

    // A panic elsewhere leaves the table in order: no caller's code runs under the lock.
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.shared.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_full(name: &str, max_tenants: usize) {
    tracing::warn!(
        target: "sandtower::rate_limit",
        name, max_tenants,
        "rate limit table full: new tenants share one rate limit"
    );
}

impl Rows {
    /// Looks at each row, so it does that at most four times in the time that tenants are remembered.
    fn sweep(&mut self, now: Tick, by_tenant: &ByTenant) {
        if now >= self.sweep_at {
            self.sweep_at = now + by_tenant.forget_after / 4;
            self.table.forget_silent(now, by_tenant.forget_after);
        }
    }
}

impl Gate for RateLimits {
    type Permit = TenantPermit;

    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        let tenant = request?.tenant;
        let limit = {
            let rows = self.rows();
            rows.table.get(tenant).or_else(|| rows.table.others()).cloned()
        };
        limit?.check(request, now)
    }

    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<TenantPermit, No> {
        let limit = self.limit(request, now, later);
        let permit = limit.try_acquire(request, now, later)?;
        Ok(TenantPermit { limit, permit })
    }

    fn record(
        &self,
        request: &RequestInfo,
        permit: TenantPermit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<TenantPermit> {
        let TenantPermit { limit, permit } = permit;
        let permit = limit.record(request, permit, done, later)?;
        Some(TenantPermit { limit, permit })
    }

    fn not_ready(&self, _verdict: &Verdict, _now: &Now, _later: &mut Deferred) {}

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.shared.common.subscribers.add(subscriber);
    }
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimits").field("name", &self.name()).finish_non_exhaustive()
    }
}
