use super::parts::{Mode, OnFailure, ProbeBy, WhenOpen};
use super::{
    AdmissionPart, BackoffPart, CircuitBreakerPart, HealthCheckPart, MonitorPart, OperationName,
    PlanName, QuotaPart, RateLimitPart, RetryPart, StackConfig, StackConfigError, Time,
};
use crate::admission::{self, QuotaConfig};
use crate::circuit_breaker::{self, Cusum, Trip};
use crate::core::Backoff;
use crate::e2b::Probe;
use crate::health_check::{self, MonitorConfig};
use crate::rate_limit::{self, Pace};
use crate::retry::{self, Budget};
use crate::stack::{Builder, Plan};

impl<F> Builder<F> {
    /// Makes all choices that `config` makes. Those made before on this builder are made first.
    ///
    /// # Errors
    ///
    /// A value makes no sense. Others are found by [`build`](Self::build), which knows the parts.
    pub fn configure(self, config: StackConfig) -> Result<Self, StackConfigError> {
        let StackConfig { retry, health_check, admission, quota, .. } = config;
        let StackConfig { rate_limit, circuit_breaker, deadline, timeout, .. } = config;
        let plan = match (config.custom_plan, config.plan) {
            (Some(own), _) => Some(Plan::Custom {
                create_every: own.create_every.0,
                sandboxes: own.sandboxes,
                concurrent_creates: own.concurrent_creates,
            }),
            (None, Some(PlanName::Hobby)) => Some(Plan::Hobby),
            (None, Some(PlanName::Pro)) => Some(Plan::Pro),
            (None, None) => None,
        };
        let retry = Retries::of(retry)?;
        let builder = with(self, config.preset, Self::preset);
        let builder = with(builder, plan, Self::plan);
        let builder = with(builder, config.default_template, Self::default_template);
        let builder = with(builder, health_check.probe, |builder, probe| {
            builder.probe_by(match probe {
                ProbeBy::Command => Probe::Command,
                ProbeBy::Health => Probe::Health,
            })
        });
        let builder = with(builder, config.monitor, |builder, monitor| {
            builder.monitor(move |config| monitor.apply(config))
        });
        let builder = config.without.into_iter().fold(builder, Self::without);
        Ok(builder
            .timeouts(move |timeouts| {
                let calls = deadline.into_iter();
                let timeouts =
                    calls.fold(timeouts, |all, (OperationName(of), limit)| all.call(of, limit.0));
                let attempts = timeout.into_iter();
                attempts.fold(timeouts, |all, (OperationName(of), limit)| all.attempt(of, limit.0))
            })
            .retry(move |config| retry.apply(config))
            .health_check(move |config| health_check.apply(config))
            .admission(move |config| admission.apply(config))
            .quota(move |config| quota.apply(config))
            .rate_limit(move |config| rate_limit.apply(config))
            .circuit_breaker(move |config| circuit_breaker.apply(config)))
    }
}

/// `set` with what is there.
fn with<C, T>(config: C, value: Option<T>, set: impl FnOnce(C, T) -> C) -> C {
    match value {
        Some(value) => set(config, value),
        None => config,
    }
}

/// Retries whose parts were checked.
struct Retries {
    part: RetryPart,
    schedules: [Option<Backoff>; 3],
    budget: Option<Budget>,
}

impl Retries {
    fn of(part: RetryPart) -> Result<Self, StackConfigError> {
        let schedule = |name, backoff: Option<BackoffPart>| match backoff {
            Some(backoff) => backoff.schedule(name).map(Some),
            None => Ok(None),
        };
        let schedules = [
            schedule("retry.transient", part.transient)?,
            schedule("retry.throttled", part.throttled)?,
            schedule("retry.unknown", part.unknown)?,
        ];
        let budget = part.budget.map(|budget| Budget::new(budget.ratio, budget.cap)).transpose();
        let budget = budget.map_err(|error| StackConfigError::at("retry.budget", error))?;
        Ok(Self { part, schedules, budget })
    }

    fn apply(self, config: retry::Config) -> retry::Config {
        let [transient, throttled, unknown] = self.schedules;
        let config = with(config, self.part.attempts, retry::Config::attempts);
        let config = with(config, transient, retry::Config::transient);
        let config = with(config, throttled, retry::Config::throttled);
        let config = with(config, unknown, retry::Config::unknown);
        let longest = self.part.longest_retry_after;
        let config =
            with(config, longest, |config, Time(longest)| config.longest_retry_after(longest));
        with(config, self.budget, |config, budget| config.budget(Some(budget)))
    }
}

impl BackoffPart {
    fn schedule(self, name: &str) -> Result<Backoff, StackConfigError> {
        let Self { first: Time(first), most: Time(most), jitter } = self;
        if first > most {
            let why = format!(
                "it waits {first:?} at first and {most:?} at most; let the first be no longer"
            );
            return Err(StackConfigError::at(name, why));
        }
        let backoff = Backoff::exponential(first, most);
        Ok(if jitter { backoff.full_jitter() } else { backoff })
    }
}

impl HealthCheckPart {
    fn apply(self, config: health_check::Config) -> health_check::Config {
        let config = with(config, self.on_failure, |config, on_failure| {
            config.on_failure(match on_failure {
                OnFailure::Discard => health_check::OnFailure::Discard,
                OnFailure::Warn => health_check::OnFailure::Warn,
            })
        });
        let config = with(config, self.tries, health_check::Config::tries);
        let within = self.probe_within;
        let config = with(config, within, |config, Time(within)| config.probe_within(within));
        with(config, self.pause, |config, Time(pause)| config.pause(pause))
    }
}

impl AdmissionPart {
    fn apply(self, config: admission::Config) -> admission::Config {
        let config = with(config, self.concurrency, admission::Config::concurrency);
        let single = self.concurrency_for.into_iter();
        let config = single
            .fold(config, |config, (OperationName(of), limit)| config.concurrency_for(of, limit));
        let config = with(config, self.queue, admission::Config::queue);
        let stands = self.newest_first_after;
        let config = with(config, stands, |config, Time(time)| config.newest_first_after(time));
        let single = self.newest_first_after_for.into_iter();
        single.fold(config, |config, (OperationName(of), Time(time))| {
            config.newest_first_after_for(of, time)
        })
    }
}

impl QuotaPart {
    fn apply(self, config: QuotaConfig) -> QuotaConfig {
        let config = with(config, self.limit, QuotaConfig::limit);
        let config =
            with(config, self.probe, |config, probe| config.probe(probe.first.0, probe.most.0));
        with(config, self.lease, |config, Time(lease)| config.lease(lease))
    }
}

impl RateLimitPart {
    fn apply(self, config: rate_limit::Config) -> rate_limit::Config {
        let config = with(config, self.window, |config, Time(window)| config.window(window));
        let config = with(config, self.mode, |config, mode| {
            config.mode(match mode {
                Mode::Observe => rate_limit::Mode::Observe,
                Mode::Enforce => rate_limit::Mode::Enforce,
            })
        });
        let config = with(config, self.limit_each, rate_limit::Config::limit_each);
        let limits = self.limits.into_iter();
        let config =
            limits.fold(config, |config, (OperationName(of), limit)| config.limit(of, limit));
        let paces = self.paces.into_iter();
        let config = paces.fold(config, |config, (OperationName(of), Time(every))| {
            config.pace(of, Pace::every(every))
        });
        let config = with(config, self.warn_at, rate_limit::Config::warn_at);
        with(config, self.longest_hold, |config, Time(longest)| config.longest_hold(longest))
    }
}

impl MonitorPart {
    fn apply(self, config: MonitorConfig) -> MonitorConfig {
        let config = with(config, self.every, |config, Time(every)| config.every(every));
        let config = with(config, self.jitter, MonitorConfig::jitter);
        let within = self.probe_within;
        let config = with(config, within, |config, Time(within)| config.probe_within(within));
        let config = with(config, self.fall, MonitorConfig::fall);
        with(config, self.rise, MonitorConfig::rise)
    }
}

impl CircuitBreakerPart {
    fn apply(self, config: circuit_breaker::Config) -> circuit_breaker::Config {
        let consecutive = self.consecutive_failures.map(Trip::ConsecutiveFailures);
        let evidence = self.evidence.map(|e| Trip::Cusum(Cusum::new(e.good_day, e.outage)));
        let config = with(config, consecutive.or(evidence), circuit_breaker::Config::trip);
        let config = with(config, self.open_between, |config, between| {
            config.open_between(between.first.0, between.most.0)
        });
        let config = with(config, self.open_for, |config, Time(time)| config.open_for(time));
        let config =
            with(config, self.stable_after, |config, Time(time)| config.stable_after(time));
        let config =
            with(config, self.longest_open, |config, Time(time)| config.longest_open(time));
        let config = with(config, self.probes, circuit_breaker::Config::probes);
        let config = with(config, self.successes, circuit_breaker::Config::successes);
        let config = with(config, self.ramp, circuit_breaker::Config::ramp);
        let config = with(config, self.lease, |config, Time(lease)| config.lease(lease));
        with(config, self.when_open, |config, when_open| {
            config.when_open(match when_open {
                WhenOpen::Reject => circuit_breaker::WhenOpen::Reject,
                WhenOpen::Hold => circuit_breaker::WhenOpen::Hold,
            })
        })
    }
}
