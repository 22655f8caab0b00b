//! Every metric, once. The exposition, the documentation, the alert rules and the board come from here.

use crate::metric::Origin::{Field, Fields, Histogram, Listed, State};
use crate::metric::{Each, Kind, Metric, counter, gauge, histogram};

const QUEUES: Each =
    Each { path: "queues", labels: &[("operation", "operation")], operations: true, most: None };

/// All queues together: a series for each operation is for what is looked at by operation.
const ALL_QUEUES: Each = Each { path: "queues", labels: &[], operations: false, most: None };

const ALL_OPERATIONS: Each =
    Each { path: "by_operation", labels: &[], operations: false, most: None };

const OPERATIONS: Each = Each {
    path: "by_operation",
    labels: &[("operation", "operation")],
    operations: true,
    most: None,
};

const TENANTS: Each =
    Each { path: "", labels: &[("tenant", "name")], operations: false, most: Some((20, "total")) };

const PLACES: Each =
    Each { path: "places", labels: &[("place", "name")], operations: false, most: None };

const SHAPES: Each =
    Each { path: "shapes", labels: &[("shape", "name")], operations: false, most: None };

const STAGES: Each = Each {
    path: "stages",
    labels: &[("group", "group"), ("stage", "stage")],
    operations: false,
    most: None,
};

const OUTCOMES: Each =
    Each { path: "calls", labels: &[("group", "group")], operations: false, most: None };

/// All metrics, by layer.
#[rustfmt::skip]
pub const TABLE: &[Metric] = &[
    // The stack as a whole.
    gauge("stack", "sandtower_component_disabled", Listed("disabled", "component", &[
        "deadline", "default_template", "retry", "health_check", "admission", "quota", "rate_limit",
        "circuit_breaker", "timeout", "monitor", "pool",
    ]), "1 if the component is disabled."),

    // Calls and their stages: `Durations`.
    histogram("durations", "sandtower_duration_seconds", &STAGES,
        "Duration of calls and of their stages, by group of operations."),
    counter("durations", "sandtower_calls_total", Fields("outcome", &[
        ("success", "success"), ("transient", "transient"), ("throttled", "throttled"),
        ("exhausted", "exhausted"), ("permanent", "permanent"), ("unknown", "unknown"),
        ("rejected", "rejected"), ("cancelled", "cancelled"),
    ]), "Calls by group of operations and outcome.").each(&OUTCOMES),

    // Creations of sandboxes.
    counter("creations", "sandtower_creations_started_total", Field("started"),
        "Calls that create a sandbox."),
    counter("creations", "sandtower_creations_succeeded_total", Field("succeeded"),
        "Creations that returned a sandbox."),
    counter("creations", "sandtower_creations_failed_total", Field("failed"),
        "Creations that failed for good, after all retries."),
    counter("creations", "sandtower_creation_attempts_failed_total", Field("failed_attempts"),
        "Attempts at a creation that failed."),
    counter("creations", "sandtower_creation_events_left_out_total", Field("left_out"),
        "Failures of creations that were counted and not logged."),

    // The circuit breaker.
    gauge("circuit_breaker", "sandtower_circuit_breaker_state",
        State("state", "state", &["closed", "open", "half_open"]),
        "1 for the state that the breaker is in."),
    gauge("circuit_breaker", "sandtower_circuit_breaker_forced", Field("forced"),
        "1 if an operator forced the state."),
    gauge("circuit_breaker", "sandtower_circuit_breaker_shadow", Field("shadow"),
        "1 if the breaker is in shadow mode, and rejects nothing."),
    gauge("circuit_breaker", "sandtower_circuit_breaker_state_age_seconds", Field("since_ms"),
        "Time in the present state.").millis(),
    gauge("circuit_breaker", "sandtower_circuit_breaker_recent_calls", Field("recent_calls"),
        "Calls that the evidence against the service is from."),
    gauge("circuit_breaker", "sandtower_circuit_breaker_recent_failures", Field("recent_failures"),
        "Failures among them."),
    counter("circuit_breaker", "sandtower_circuit_breaker_outcomes_total", Fields("outcome", &[
        ("succeeded", "counters.succeeded"), ("failed", "counters.failed"),
        ("throttled", "counters.throttled"), ("declined", "counters.declined"),
        ("cancelled", "counters.cancelled"), ("late", "counters.late"),
    ]), "Attempts that the breaker admitted, by outcome."),
    counter("circuit_breaker", "sandtower_circuit_breaker_rejected_total", Field("counters.rejected"),
        "Attempts that the breaker rejected or held."),
    counter("circuit_breaker", "sandtower_circuit_breaker_would_reject_total",
        Field("counters.would_reject"), "Attempts let through in shadow mode, rejected else."),
    counter("circuit_breaker", "sandtower_circuit_breaker_probes_total", Field("counters.probes"),
        "Probes sent."),
    counter("circuit_breaker", "sandtower_circuit_breaker_expired_probes_total",
        Field("counters.expired_probes"), "Probes whose lease expired before their response."),
    counter("circuit_breaker", "sandtower_circuit_breaker_trips_total", Field("counters.trips"),
        "Times the breaker opened."),

    // Admission control.
    gauge("admission", "sandtower_admission_draining", Field("draining"),
        "1 while admission control shuts down."),
    gauge("admission", "sandtower_admission_shadow", Field("shadow"),
        "1 if the limits are in shadow mode."),
    gauge("admission", "sandtower_admission_total_in_flight", Field("in_flight"),
        "Weight of all calls in flight; counted where a limit needs it."),
    gauge("admission", "sandtower_admission_total_limit", Field("concurrency_total"),
        "The most that it may be, if limited.").missing(),
    gauge("admission", "sandtower_admission_tenants", Field("tenants"),
        "Tenants with calls that wait or are in flight."),
    counter("admission", "sandtower_admission_tenants_overflowed_total",
        Field("tenants_overflowed"), "Calls of tenants beyond the most, which share limits."),
    gauge("admission", "sandtower_admission_limit", Field("limit"),
        "How many calls may be in flight.").each(&QUEUES).missing(),
    gauge("admission", "sandtower_admission_baseline_seconds", Field("baseline_ms"),
        "Latency of a call without load, as an adaptive limit has learned it.")
        .each(&QUEUES).millis().missing(),
    gauge("admission", "sandtower_admission_in_flight", Field("in_flight"),
        "Calls in flight.").each(&QUEUES),
    gauge("admission", "sandtower_admission_waiting", Fields("priority", &[
        ("interactive", "waiting_by_priority.0"), ("batch", "waiting_by_priority.1"),
        ("background", "waiting_by_priority.2"),
    ]), "Calls in the queue, by priority.").each(&QUEUES),
    gauge("admission", "sandtower_admission_queue_standing", Field("newest_first"),
        "1 while the queue does not drain, so that the newest call goes first.").each(&QUEUES),
    counter("admission", "sandtower_admission_admitted_total", Field("admitted"),
        "Calls admitted.").each(&QUEUES),
    counter("admission", "sandtower_admission_admitted_after_wait_total",
        Field("admitted_after_wait"), "Calls admitted that had to wait.").each(&QUEUES),
    counter("admission", "sandtower_admission_rejected_total", Fields("reason", &[
        ("full", "rejected_full"), ("late", "rejected_late"), ("gate", "rejected_by_gate"),
        ("limit", "rejected_by_limit"), ("draining", "rejected_draining"),
    ]), "Calls rejected, by reason.").each(&QUEUES),
    counter("admission", "sandtower_admission_shed_total", Field("shed"),
        "Calls that made room in a full queue for others; rejected with reason `full`.")
        .each(&ALL_QUEUES),
    counter("admission", "sandtower_admission_beyond_limit_total", Field("beyond_limit"),
        "Calls let through in shadow mode, held by a limit else.").each(&ALL_QUEUES),
    counter("admission", "sandtower_admission_left_total", Field("left"),
        "Calls whose caller left the queue.").each(&QUEUES),

    // The quota of sandboxes.
    gauge("quota", "sandtower_quota_in_use", Field("in_use"), "Slots in use."),
    gauge("quota", "sandtower_quota_limit", Field("limit"), "Slots that there are, if known.")
        .missing(),
    gauge("quota", "sandtower_quota_under_way", Field("under_way"),
        "Attempts under way that may take a slot."),
    gauge("quota", "sandtower_quota_out_of_slots_seconds", Field("out_of_slots_ms"),
        "How long the service has been out of slots; 0 if it is not.").millis(),
    counter("quota", "sandtower_quota_granted_total", Field("granted"), "Slots granted."),
    counter("quota", "sandtower_quota_released_total", Field("released"),
        "Slots that became free."),
    counter("quota", "sandtower_quota_exhausted_total", Field("exhausted"),
        "Attempts that found no slot."),
    counter("quota", "sandtower_quota_probes_total", Field("probes"),
        "Probes whether there is a slot again."),
    counter("quota", "sandtower_quota_probes_found_total", Field("probes_found"),
        "Probes that found a slot."),

    // The rate limit.
    gauge("rate_limit", "sandtower_rate_limit_enforced", Field("enforced"),
        "1 if limits are enforced, 0 in shadow mode."),
    gauge("rate_limit", "sandtower_rate_limit_window_seconds", Field("window_ms"),
        "The window that attempts are counted in.").millis(),
    gauge("rate_limit", "sandtower_rate_limit_attempts", Field("count"),
        "Attempts within the window.").each(&OPERATIONS),
    gauge("rate_limit", "sandtower_rate_limit_limit", Field("limit"),
        "The most attempts within the window, if limited.").each(&OPERATIONS).missing(),
    counter("rate_limit", "sandtower_rate_limit_over_total", Field("over"),
        "Attempts beyond the limit, rejected or not.").each(&OPERATIONS),
    counter("rate_limit", "sandtower_rate_limit_would_reject_total", Field("would_reject"),
        "Attempts let through in shadow mode, rejected else.").each(&ALL_OPERATIONS),
    gauge("rate_limit", "sandtower_rate_limit_store_available", Field("store_available"),
        "1 if the last exchange with the store worked; absent without a store.").missing(),

    gauge("rate_limits", "sandtower_tenant_attempts", Field("total"),
        "Attempts of a tenant within the window: of the 20 with the most, and of the others.")
        .each(&TENANTS),

    // Retry and its budget.
    counter("retry", "sandtower_retry_retries_total", Field("retries"),
        "Attempts after the first."),
    counter("retry", "sandtower_retry_returns_total", Field("returns"),
        "Throttled calls that went back to the queue."),
    counter("retry", "sandtower_retry_calls_total", Fields("result", &[
        ("cured", "cured"), ("adopted", "adopted"), ("permanent", "permanent"),
        ("advised", "advised"), ("out_of_attempts", "out_of_attempts"),
        ("out_of_time", "out_of_time"), ("out_of_budget", "out_of_budget"),
        ("unsafe_to_replay", "unsafe_to_replay"), ("sent_once", "sent_once"),
        ("exhausted", "exhausted"), ("cancelled", "cancelled"), ("rejected", "rejected"),
    ]), "Calls whose first attempt failed, by how they ended."),
    gauge("retry_budget", "sandtower_retry_budget_thousandths", Field("thousandths"),
        "What is left in the retry budget, in thousandths of a retry."),
    gauge("retry_budget", "sandtower_retry_budget_cap", Field("cap"),
        "The most retries that the budget holds."),
    gauge("retry_budget", "sandtower_retry_budget_scopes", Field("scopes_in_use"),
        "Scopes whose budget is not full."),

    // Creation tracking.
    gauge("tracker", "sandtower_tracker_open", Field("open"),
        "Attempts that may turn out to have created a sandbox."),
    gauge("tracker", "sandtower_tracker_killing", Field("killing"),
        "Orphaned sandboxes that are being killed."),
    counter("tracker", "sandtower_tracker_attempts_total", Field("watched"),
        "Attempts tracked."),
    counter("tracker", "sandtower_tracker_sandboxes_total", Fields("result", &[
        ("adopted", "adopted"), ("killed", "killed"), ("gone", "gone"),
    ]), "Sandboxes of lost responses, by what became of them."),
    counter("tracker", "sandtower_tracker_abandoned_total", Field("abandoned"),
        "Attempts and sandboxes that cleanup did not finish: sandboxes may be left behind."),

    // The health check and the monitor.
    counter("health_check", "sandtower_health_check_checks_total", Fields("result", &[
        ("passed", "passed"), ("failed", "failed"),
    ]), "Checks of new sandboxes, by result."),
    counter("health_check", "sandtower_health_check_started_total", Field("checked"),
        "Checks that were started."),
    counter("health_check", "sandtower_health_check_discarded_total", Field("discarded"),
        "New sandboxes that were not returned."),
    counter("health_check", "sandtower_health_check_discards_total", Fields("result", &[
        ("done", "discards_done"), ("lost", "discards_lost"),
    ]), "Releases of discarded sandboxes, by result."),
    gauge("health_check", "sandtower_health_check_discards_under_way", Field("discards_under_way"),
        "Releases in progress."),
    gauge("monitor", "sandtower_monitor_health",
        State("health", "health", &["healthy", "degraded", "down"]),
        "1 for the health that the monitor sees."),
    gauge("monitor", "sandtower_monitor_probing", Field("probing"), "1 while the monitor probes."),
    counter("monitor", "sandtower_monitor_probes_total", Field("probes"), "Probes that ended."),
    counter("monitor", "sandtower_monitor_failures_total", Field("failures"), "Probes that failed."),

    // The warm pool.
    counter("pool", "sandtower_pool_hits_total", Field("hits"),
        "Creations that were served from stock."),
    counter("pool", "sandtower_pool_misses_total", Fields("reason", &[
        ("unreadable", "misses.unreadable"), ("lifecycle", "misses.lifecycle"),
        ("keyed", "misses.keyed"), ("metadata", "misses.metadata"), ("unknown", "misses.unknown"), ("empty", "misses.empty"),
        ("lifetime", "misses.lifetime"), ("share", "misses.share"), ("dead", "misses.dead"),
        ("late", "misses.late"), ("other_key", "misses.other_key"),
        ("store", "misses.store"), ("shut_down", "misses.shut_down"),
    ]), "Creations that were not, by reason."),
    counter("pool", "sandtower_pool_capped_misses_total", Field("capped_misses"),
        "Creations that found no stock while max or the budget capped it."),
    gauge("pool", "sandtower_pool_sandboxes", Fields("state", &[
        ("idle", "idle"), ("leased", "leased"), ("creating", "creating"), ("ending", "ending"),
    ]), "Sandboxes in stock, by state."),
    gauge("pool", "sandtower_pool_target", Field("target"), "Sandboxes that there are to be."),
    gauge("pool", "sandtower_pool_oldest_seconds", Field("oldest_ms"),
        "Age of the oldest sandbox in stock; 0 if there is none.").millis(),
    counter("pool", "sandtower_pool_cost_dollars_total", Field("cost"), "Cost of the stock so far."),
    gauge("pool", "sandtower_pool_cost_dollars_per_hour", Field("cost_per_hour"),
        "Cost of the present stock."),
    gauge("pool", "sandtower_pool_budget_dollars_per_hour", Field("budget"), "The most it may cost."),
    counter("pool", "sandtower_pool_creations_total", Fields("result", &[
        ("succeeded", "created"), ("failed", "failed"),
    ]), "Creations for the stock, by result."),
    counter("pool", "sandtower_pool_suspensions_total", Field("alerts"),
        "Times that creations of a shape were suspended after three failures."),
    counter("pool", "sandtower_pool_ended_total", Fields("reason", &[
        ("expired", "expired"), ("retired", "retired"), ("yielded", "yielded"), ("dead", "dead"),
    ]), "Sandboxes in stock that were not used, by reason."),
    counter("pool", "sandtower_pool_reused_total", Field("reused"),
        "Hits with a sandbox that the same session had used."),
    counter("pool", "sandtower_pool_clock_jumps_total", Field("clock_jumps"),
        "Times that wall time jumped."),
    gauge("pool", "sandtower_pool_store_available", Field("store_available"),
        "1 while the stock can be recorded; absent without a store.").missing(),
    gauge("pool", "sandtower_pool_shut_down", Field("is_shut_down"), "1 once it is shut down."),
    gauge("pool", "sandtower_pool_shape_target", Field("target"),
        "Sandboxes of a shape that there are to be.").each(&SHAPES),
    gauge("pool", "sandtower_pool_shape_idle", Field("idle"),
        "Sandboxes of a shape that may be given to a caller.").each(&SHAPES),
    counter("pool", "sandtower_pool_shape_requests_total", Fields("result", &[
        ("hit", "hits"), ("miss", "misses"),
    ]), "Creations of a shape, by result.").each(&SHAPES),
    gauge("pool", "sandtower_pool_shape_lead_seconds", Field("lead_ms"),
        "How long a creation for the stock takes.").each(&SHAPES).millis(),
    gauge("pool", "sandtower_pool_shape_requests_per_second", Field("rate"),
        "Creations a second that are asked for.").each(&SHAPES),
    gauge("pool", "sandtower_pool_shape_suspended", Field("is_suspended"),
        "1 while creations are suspended since they failed.").each(&SHAPES),
    gauge("pool", "sandtower_pool_shape_forecast_error_ratio", Field("forecast_error"),
        "Error of the profile's forecasts, as a share of what came.").each(&SHAPES).missing(),

    // Alternatives.
    counter("fallback", "sandtower_fallback_used_total", Field("used"),
        "Calls that went to the alternative."),
    counter("fallback", "sandtower_fallback_cured_total", Field("cured"),
        "Calls that succeeded there."),
    counter("fallback", "sandtower_fallback_skipped_total", Fields("reason", &[
        ("unsafe_to_replay", "unsafe_to_replay"), ("out_of_time", "out_of_time"),
    ]), "Failed calls that the alternative was not used for, by reason."),
    gauge("failover", "sandtower_failover_current", Field("current"),
        "1 for the place where calls begin.").each(&PLACES),
    counter("failover", "sandtower_failover_failures_total", Field("failures"),
        "Failures that another place was tried for.").each(&PLACES),
    counter("failover", "sandtower_failover_took_over_total", Field("took_over"),
        "Calls that got their response here after they failed elsewhere.").each(&PLACES),
    counter("failover", "sandtower_failover_moves_total", Field("moves"),
        "Times the place where calls begin changed."),
    counter("failover", "sandtower_failover_probes_total", Field("probes"),
        "Calls that probed an earlier place."),
];

/// What a stack consists of: the field of its snapshot, the kind of layer, and for a breaker its label.
pub(crate) const STACK: &[(&str, &str, &str)] = &[
    ("retry", "retry", ""),
    ("tracker", "tracker", ""),
    ("events", "creations", ""),
    ("health_check", "health_check", ""),
    ("admission", "admission", ""),
    ("quota", "quota", ""),
    ("rate_limit", "rate_limit", ""),
    ("control_plane_breaker", "circuit_breaker", "control_plane"),
    ("data_plane_breaker", "circuit_breaker", "data_plane"),
    ("default_template", "fallback", ""),
    ("monitor", "monitor", ""),
    ("pool", "pool", ""),
];

/// The metric of this name, as it is exported.
pub fn metric(name: &str) -> Option<&'static Metric> {
    TABLE.iter().find(|metric| metric.name == name)
}

/// The metric that a series belongs to: its name, or for a histogram that of its parts.
pub fn metric_of_series(series: &str) -> Option<&'static Metric> {
    metric(series).filter(|metric| metric.kind != Kind::Histogram).or_else(|| {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| series.strip_suffix(part))?;
        metric(base).filter(|metric| metric.kind == Kind::Histogram && metric.from == Histogram)
    })
}
