//! A faulty E2B, and users who run code in it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower::core::{BoxError, Tick};
use sandtower::e2b::{Client, Command, Config, NewSandbox, Sandbox};
use sandtower_sim::{Fault, FaultKind, FaultResponse, Sim};
use tower::Service;

use crate::today::Today;

/// The simulator in place of an HTTP client, in virtual time.
pub(crate) type Http = Sim;

const USERS: u32 = 90;
const ONE_EACH: Duration = Duration::from_secs(2);

/// One in ten responses to a creation is lost, one in ten sandboxes is dead, one in six creations fails for
/// lack of capacity; and for 20 s the control plane is unreachable.
pub(crate) fn simulator(seed: u64) -> Result<Sim, BoxError> {
    let creations = || vec![String::from("sandbox_create")];
    let outage = Fault {
        on: vec![String::from("control")],
        from: Duration::from_secs(60),
        until: Some(Duration::from_secs(80)),
        ..Fault::new("outage", FaultKind::Refuse)
    };
    let lost = Fault { on: creations(), rate: 0.1, ..Fault::new("lost", FaultKind::Lose) };
    let full = Fault {
        on: creations(),
        rate: 1.0 / 6.0,
        response: Some(FaultResponse::Capacity503),
        ..Fault::new("no capacity", FaultKind::Respond)
    };
    let dead = Fault { rate: 0.1, ..Fault::new("dead", FaultKind::Zombie) };
    Ok(sandtower_sim::Config::new().seed(seed).faults(vec![outage, lost, full, dead]).build()?)
}

pub(crate) fn config() -> Result<Config, BoxError> {
    Ok(Config::new("e2b_simulated")?)
}

/// Creates sandboxes.
pub(crate) trait Creates: Clone + 'static {
    async fn create(&self, new: &NewSandbox) -> Result<Sandbox, BoxError>;
}

impl Creates for Today {
    async fn create(&self, new: &NewSandbox) -> Result<Sandbox, BoxError> {
        Self::create(self, new).await
    }
}

impl<S, B> Creates for Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    async fn create(&self, new: &NewSandbox) -> Result<Sandbox, BoxError> {
        Ok(Self::create(self, new).await?)
    }
}

/// The results.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    users: u32,
    succeeded: u32,
    creations: u64,
    left: usize,
    dead: usize,
    slowest_success: Duration,
    slowest_failure: Duration,
}

impl Seen {
    pub(crate) const HEADER: &str = "step | succeeded | creations sent for one | left behind | dead ones returned | slowest success | slowest failure";

    pub(crate) fn add(&mut self, one: &Self) {
        self.users += one.users;
        self.succeeded += one.succeeded;
        self.creations += one.creations;
        self.left += one.left;
        self.dead += one.dead;
        self.slowest_success = self.slowest_success.max(one.slowest_success);
        self.slowest_failure = self.slowest_failure.max(one.slowest_failure);
    }

    pub(crate) fn row(&self, step: u32) -> String {
        let of_users = |count: f64| count / f64::from(self.users);
        format!(
            "{step} | {:.0} % | {:.2} | {} | {} | {:.0} s | {:.0} s",
            100.0 * of_users(f64::from(self.succeeded)),
            of_users(self.creations as f64),
            self.left,
            self.dead,
            self.slowest_success.as_secs_f64(),
            self.slowest_failure.as_secs_f64(),
        )
    }
}

/// Every two seconds a user arrives that creates a sandbox through `creates`, runs code in it and kills it through
/// `rest`.
pub(crate) async fn users<C, S, B>(sim: &Sim, creates: C, rest: Client<S>) -> Result<Seen, BoxError>
where
    C: Creates,
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let run = async |handed_out: &RefCell<Vec<String>>| {
        let sandbox = creates.create(&new_sandbox()).await?;
        handed_out.borrow_mut().push(sandbox.id().to_string());
        let output = rest.run(&sandbox, &code()).await;
        // The outcome does not matter to the user.
        let _ = rest.kill(sandbox.id()).await;
        output?;
        Ok(())
    };
    measure(sim, run).await
}

/// The same, with an owner that kills each sandbox in any case.
pub(crate) async fn users_who_hold<S, B>(sim: &Sim, client: Client<S>) -> Result<Seen, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    let run = async |handed_out: &RefCell<Vec<String>>| {
        let sandbox = client.kill_on_drop(client.create(&new_sandbox()).await?);
        handed_out.borrow_mut().push(sandbox.id().to_string());
        client.run(&sandbox, &code()).await?;
        Ok(())
    };
    measure(sim, run).await
}

fn new_sandbox() -> NewSandbox {
    NewSandbox::new("base").timeout(Duration::from_secs(1_200))
}

fn code() -> Command {
    Command::new("sleep 4; echo 42")
}

async fn measure(
    sim: &Sim,
    run: impl AsyncFn(&RefCell<Vec<String>>) -> Result<(), BoxError>,
) -> Result<Seen, BoxError> {
    let (seen, handed_out) = (RefCell::new(Seen::default()), RefCell::default());
    let user = async |user: u32| {
        tokio::time::sleep(ONE_EACH * user).await;
        let began = Tick::now();
        let ran = run(&handed_out).await;
        let took = Tick::now().since(began);
        let mut seen = seen.borrow_mut();
        match ran {
            Ok(()) => {
                seen.succeeded += 1;
                seen.slowest_success = seen.slowest_success.max(took);
            }
            Err(_) => seen.slowest_failure = seen.slowest_failure.max(took),
        }
    };
    let mut users: Vec<_> = (0..USERS).map(|number| Box::pin(user(number))).collect();
    poll_fn(|cx| {
        users.retain_mut(|user| user.as_mut().poll(cx).is_pending());
        if users.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    // The background cleanup has finished by then.
    tokio::time::sleep(Duration::from_secs(150)).await;
    let mut seen = seen.take();
    let ledger = sim.ledger();
    let is_dead = |id: &&String| ledger.sandboxes.iter().any(|one| one.zombie && one.id == **id);
    seen.dead = handed_out.take().iter().filter(is_dead).count();
    seen.creations = ledger.creates.received;
    seen.users = USERS;
    seen.left = sim.active();
    Ok(seen)
}
