//! A service other than our simulator, which may cost money: bounded, and cleaned up.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use sandtower::core::{BoxError, Tick};
use sandtower::e2b::{Client, Config, ConfigError, Error, ListSandboxes};

use super::Running;
use super::outcome::Outcome;
use super::policy::Policy;
use super::run::{Test, run};
use super::scenario::Setup;
use super::status::Watch;
use super::wire::Meter;

/// The target, and the limit on sandboxes.
#[derive(Debug)]
pub struct Target {
    config: Config,
    transport: Transport,
    sandboxes: u64,
    /// The mark of all sandboxes of this process.
    mark: String,
    meter: Arc<Meter>,
}

/// The metadata key of the mark.
const MARK: &str = "load_test_run";

/// Why a target is rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is remote, and the user has not confirmed that it may cost money.
    #[error(
        "{0} is not on this machine: sandboxes there may cost money. If that is what you want, add \
         --real-sandboxes-that-cost-money"
    )]
    CostsMoney(String),
    /// The URL is invalid.
    #[error("{0:?} is no URL such as http://127.0.0.1:3900")]
    Url(String),
    /// The environment lacks the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The URL is https, and this build has no TLS.
    #[error("{0} needs TLS, which this build leaves out: use `cargo run --features tls ...`")]
    Tls(String),
    /// The transport cannot be created.
    #[error("the transport cannot be created: {0}")]
    Transport(BoxError),
}

/// How late E2B may still commit a request that timed out, and how late a listing may be.
const COMMIT_WITHIN: Duration = Duration::from_secs(110);
/// The interval of looking for remaining sandboxes.
const LOOKS: Duration = Duration::from_secs(2);

impl Target {
    /// The service at `url`, with the key of `E2B_API_KEY`, and at most this many concurrent sandboxes.
    ///
    /// # Errors
    ///
    /// The service is remote and `may_cost` is false; or the URL or the environment is invalid.
    pub fn new(url: &str, sandboxes: u64, may_cost: bool) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::Url(url.to_owned()))?;
        let host = uri.host().filter(|_| uri.scheme().is_some());
        let host = host.ok_or_else(|| TargetError::Url(url.to_owned()))?;
        let is_here = is_loopback(host);
        if !is_here && !may_cost {
            return Err(TargetError::CostsMoney(host.to_owned()));
        }
        if !cfg!(feature = "tls") && uri.scheme() == Some(&Scheme::HTTPS) {
            return Err(TargetError::Tls(url.to_owned()));
        }
        let mut config = Config::from_env()?.api_url(url)?;
        if is_here && std::env::var_os("E2B_SANDBOX_URL").is_none() {
            config = config.sandbox_url(url)?;
        }
        let transport = transport().map_err(TargetError::Transport)?;
        let mark = format!("{:016x}", sandtower::core::Rng::new().u64(..));
        Ok(Self { config, transport, sandboxes, mark, meter: Meter::new(sandboxes) })
    }

    /// Checks that the service responds and accepts the key, before any load is sent.
    ///
    /// # Errors
    ///
    /// It did not respond in time, or rejected the request.
    pub fn check(&self) -> Running<'_, ()> {
        Box::pin(async move {
            const WITHIN: Duration = Duration::from_secs(10);
            let client = Client::new(self.transport.clone(), self.config.clone());
            let which = ListSandboxes::default().limit(1);
            let problem = match tokio::time::timeout(WITHIN, client.list(&which)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no response within {} s", WITHIN.as_secs()),
            };
            Err(format!("--target cannot be used: {problem}").into())
        })
    }

    /// Creations that this load test, not the policy, held back in the last run.
    pub fn capped(&self) -> u64 {
        self.meter.capped()
    }

    /// One run. [Clear up](Self::clear_up) after it, whether it ended or was dropped.
    ///
    /// # Errors
    ///
    /// The load is invalid.
    pub fn run<'a>(
        &'a mut self,
        setup: &'a Setup,
        policy: Policy,
        seed: u64,
        watch: &'a mut dyn Watch,
    ) -> Running<'a, Outcome> {
        Box::pin(async move {
            self.meter = Meter::new(self.sandboxes);
            let test = Test {
                setup,
                policy,
                seed,
                clock: "real",
                mark: Some((MARK, &self.mark)),
                meter: Arc::clone(&self.meter),
            };
            let (outcome, _) =
                run(&test, self.transport.clone(), self.config.clone(), watch).await?;
            Ok(outcome)
        })
    }

    /// Kills all sandboxes of this load test, and returns their number. Waits for creations with an unknown
    /// outcome, whose sandboxes may still appear.
    ///
    /// # Errors
    ///
    /// They could not be listed or killed for as long as this waits. The error says how to find them.
    pub fn clear_up(&self) -> Running<'_, u64> {
        Box::pin(async move {
            let client = Client::new(self.transport.clone(), self.config.clone());
            let which = ListSandboxes::default().metadata(MARK, &self.mark).limit(100);
            let wait = if self.meter.alive() == 0 { Duration::ZERO } else { COMMIT_WITHIN };
            let (began, mut killed) = (Tick::now(), 0);
            loop {
                let looked = self.kill_all(&client, &which, &mut killed).await;
                let waited = Tick::now().since(began);
                match looked {
                    Ok(0) if waited >= wait => return Ok(killed),
                    Err(error) if waited >= COMMIT_WITHIN => {
                        let mark = &self.mark;
                        return Err(format!(
                            "sandboxes may be left, find them by their metadata {MARK}={mark}: {error}"
                        )
                        .into());
                    }
                    _ => tokio::time::sleep(LOOKS).await,
                }
            }
        })
    }

    /// How many were killed.
    async fn kill_all(
        &self,
        client: &Client<Transport>,
        which: &ListSandboxes,
        killed: &mut u64,
    ) -> Result<usize, Error> {
        let page = client.list(which).await?;
        for sandbox in &page.sandboxes {
            client.kill(&sandbox.id).await?;
            *killed += 1;
        }
        Ok(page.sandboxes.len())
    }
}

#[cfg(feature = "tls")]
type Transport = sandtower_e2b::HttpTransport;

#[cfg(feature = "tls")]
fn transport() -> Result<Transport, BoxError> {
    Ok(Transport::new()?)
}

#[cfg(not(feature = "tls"))]
type Transport = super::Plaintext;

#[cfg(not(feature = "tls"))]
fn transport() -> Result<Transport, BoxError> {
    Ok(super::plaintext())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_target_needs_confirmation() {
        for host in ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["api.e2b.app", "10.0.0.1", "localhost.example.com", "127.0.0.1.nip.io"] {
            assert!(!is_loopback(host), "{host}");
        }
        let rejected = Target::new("https://api.e2b.app", 1, false).unwrap_err().to_string();
        assert!(rejected.starts_with("api.e2b.app is not on this machine"), "{rejected}");
        if !cfg!(feature = "tls") {
            let rejected = Target::new("https://api.e2b.app", 1, true).unwrap_err().to_string();
            assert!(rejected.starts_with("https://api.e2b.app needs TLS"), "{rejected}");
        }
        let rejected = Target::new("api.e2b.app", 1, true).unwrap_err().to_string();
        assert_eq!(rejected, "\"api.e2b.app\" is no URL such as http://127.0.0.1:3900");
    }
}
