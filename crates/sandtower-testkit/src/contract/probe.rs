//! Shared by all scenarios: worlds, calls, and checks of how they end.

use std::{
    cell::RefCell,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::{Contract, course::Course};
use crate::{
    BoxError, Handle, Mock, Rule, Violation,
    drive::{Drive, Driven, Until, now, settle},
};

/// A service shared by its callers; borrowed for one poll at a time, never across an await.
pub(super) type Caller<S> = Rc<RefCell<S>>;

/// One run of one scenario.
pub(super) struct Probe<'a, Req, Res, S: Service<Req>> {
    contract: &'a Contract<Req, Res, S>,
    handles: RefCell<Vec<Handle<Req, Res>>>,
}

/// A fresh service over a fresh inner service.
pub(super) struct World<Req, Res, S> {
    pub(super) service: Caller<S>,
    pub(super) handle: Handle<Req, Res>,
    copy: Option<fn(&S) -> S>,
}

/// A call that is driven by hand, concurrently with others.
pub(super) type Call<Res> = Driven<Pin<Box<dyn Future<Output = Result<Res, Fault>>>>>;

/// How a call failed.
#[derive(Debug)]
pub(super) enum Fault {
    Readiness(BoxError),
    Call(BoxError),
}

impl Fault {
    pub(super) fn error(self) -> BoxError {
        match self {
            Self::Readiness(error) | Self::Call(error) => error,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readiness(error) => write!(f, "`poll_ready` failed: {error}"),
            Self::Call(error) => write!(f, "the call failed: {error}"),
        }
    }
}

impl<Req, Res, S> World<Req, Res, S> {
    /// A clone for the next caller, or the service itself if it is not `Clone`.
    pub(super) fn caller(&self) -> Caller<S> {
        self.copy_of(&self.service)
    }

    /// A clone of `caller`, or itself if it is not `Clone`.
    pub(super) fn copy_of(&self, caller: &Caller<S>) -> Caller<S> {
        match self.copy {
            Some(copy) => Rc::new(RefCell::new(copy(&caller.borrow()))),
            None => Rc::clone(caller),
        }
    }

    /// Drops the service and checks that nothing is left of it below.
    pub(super) async fn end(self, after: &dyn fmt::Display) -> Result<(), Violation> {
        let Self { service, handle, .. } = self;
        drop(service);
        settle().await;
        let counts = handle.counts();
        if counts.reservations_held > 0 {
            let seen = format!("{after}, the service dropped: {}", still_held(&handle));
            return Err(Violation::new(Rule::ReservationsComeBack, seen));
        }
        if counts.instances_live > 0 || counts.futures_live > 0 {
            let seen = format!(
                "{after}, the service dropped: {} instances of the inner service and {} of its \
                 response futures still exist",
                counts.instances_live, counts.futures_live
            );
            return Err(Violation::new(Rule::NothingOutlivesItsService, seen));
        }
        Ok(())
    }
}

/// Describes the reservations that are still held.
pub(super) fn still_held<Req, Res>(handle: &Handle<Req, Res>) -> String {
    let holders: Vec<_> = handle.holders().iter().map(ToString::to_string).collect();
    format!("a reservation is still held, ready but not called: {}", holders.join("; "))
}

impl<'a, Req: 'static, Res: 'static, S> Probe<'a, Req, Res, S>
where
    S: Service<Req> + 'static,
    S::Error: Into<BoxError>,
{
    pub(super) fn new(contract: &'a Contract<Req, Res, S>) -> Self {
        Self { contract, handles: RefCell::default() }
    }

    /// The first violation that any mock of this scenario has recorded.
    pub(super) fn recorded_violation(&self) -> Option<Violation> {
        let handles = self.handles.borrow();
        // Read all of them, since each unread one would panic on drop.
        let violations: Vec<_> = handles.iter().flat_map(Handle::violations).collect();
        violations.into_iter().next()
    }

    pub(super) fn world(&self, course: Course) -> World<Req, Res, S> {
        let (mock, handle) = self.inner(course);
        self.world_over(mock, handle)
    }

    /// A world with one reservation, held by an instance of the inner service that does not belong to the
    /// service.
    pub(super) fn world_with_holder(&self, course: Course) -> (World<Req, Res, S>, Mock<Req, Res>) {
        let (mock, handle) = self.inner(course);
        let mut holder = mock.clone();
        handle.limit_reservations(1);
        let held = holder.poll_ready(&mut Context::from_waker(Waker::noop()));
        debug_assert!(matches!(held, Poll::Ready(Ok(()))), "a reservation is free at first");
        (self.world_over(mock, handle), holder)
    }

    /// Two services that share a gate, if the contract has them.
    pub(super) fn pair(&self, courses: [Course; 2]) -> Option<[World<Req, Res, S>; 2]> {
        let build = self.contract.pair.as_ref()?;
        let [(first, first_handle), (second, second_handle)] = courses.map(|c| self.inner(c));
        let (first, second) = build(first, second);
        Some([self.world_of(first, first_handle), self.world_of(second, second_handle)])
    }

    fn inner(&self, course: Course) -> (Mock<Req, Res>, Handle<Req, Res>) {
        let response = Arc::clone(&self.contract.exchange.response);
        let (mock, handle) =
            Mock::new(move |_, call| course.replies.reply(call, |number| response(number)));
        handle.set_readiness(course.readiness);
        self.handles.borrow_mut().push(handle.clone());
        (mock, handle)
    }

    fn world_over(&self, mock: Mock<Req, Res>, handle: Handle<Req, Res>) -> World<Req, Res, S> {
        self.world_of((self.contract.build)(mock), handle)
    }

    fn world_of(&self, service: S, handle: Handle<Req, Res>) -> World<Req, Res, S> {
        World { service: Rc::new(RefCell::new(service)), handle, copy: self.contract.copy }
    }

    pub(super) fn set_replies(&self, world: &World<Req, Res, S>, course: Course) {
        let response = Arc::clone(&self.contract.exchange.response);
        let script = move |_, call| course.replies.reply(call, |number| response(number));
        world.handle.set_replies(script);
    }

    /// Changes the behaviour of the inner service from now on.
    pub(super) fn set_course(&self, world: &World<Req, Res, S>, course: Course) {
        self.set_replies(world, course);
        world.handle.set_readiness(course.readiness);
    }

    pub(super) fn read(&self, response: S::Response) -> u64 {
        (self.contract.read)(response)
    }

    /// The virtual time that the contract allows for recovery.
    pub(super) fn recovery(&self) -> Duration {
        self.contract.recovery
    }

    /// Whether the service is `Clone`.
    pub(super) fn clones(&self) -> bool {
        self.contract.copy.is_some()
    }

    /// Makes a service ready, and keeps it ready.
    pub(super) async fn ready(&self, caller: Caller<S>) -> Result<(), Fault> {
        poll_fn(|cx| caller.borrow_mut().poll_ready(cx))
            .await
            .map_err(|error| Fault::Readiness(error.into()))
    }

    /// Makes one call, and drops the service before the response, as `oneshot` does.
    pub(super) fn call(
        &self,
        caller: Caller<S>,
    ) -> impl Future<Output = Result<S::Response, Fault>> + use<Req, Res, S> {
        self.send(caller, self.request())
    }

    pub(super) fn request(&self) -> Req {
        (self.contract.exchange.request)(0)
    }

    fn send(
        &self,
        caller: Caller<S>,
        request: Req,
    ) -> impl Future<Output = Result<S::Response, Fault>> + use<Req, Res, S> {
        async move {
            let ready = poll_fn(|cx| caller.borrow_mut().poll_ready(cx)).await;
            ready.map_err(|error| Fault::Readiness(error.into()))?;
            let response = caller.borrow_mut().call(request);
            drop(caller);
            response.await.map_err(|error| Fault::Call(error.into()))
        }
    }

    /// A call through a clone, to be driven concurrently with others.
    pub(super) fn start(&self, world: &World<Req, Res, S>) -> Call<S::Response> {
        Driven::new(Box::pin(self.call(world.caller())))
    }

    /// The same for a returning attempt, of a call that arrived this long `ago`; if the contract has such
    /// requests.
    pub(super) fn start_returning(
        &self,
        world: &World<Req, Res, S>,
        ago: Duration,
    ) -> Option<Call<S::Response>> {
        let request = self.contract.exchange.returning.as_ref()?(ago);
        Some(Driven::new(Box::pin(self.send(world.caller(), request))))
    }

    /// Makes calls until the layer itself rejects one, and keeps the clone that made it; `None` if it rejects
    /// none of 200, or one takes longer than a minute.
    pub(super) async fn rejected(&self, world: &World<Req, Res, S>) -> Option<Caller<S>> {
        for _ in 0..200 {
            let before = world.handle.counts().calls;
            let caller = world.caller();
            let mut call = Driven::new(self.call(Rc::clone(&caller)));
            let drive = call.run(Until::Finished, Duration::from_secs(60)).await;
            let Drive::Finished(result) = drive else { return None };
            if result.is_err() && world.handle.counts().calls == before {
                return Some(caller);
            }
        }
        None
    }

    /// Drives a future to completion, polling it only when it is woken.
    pub(super) async fn finish<F: Future>(
        &self,
        world: &World<Req, Res, S>,
        driven: &mut Driven<F>,
        rule: Rule,
        what: &dyn fmt::Display,
    ) -> Result<F::Output, Violation> {
        let within = self.contract.recovery;
        match driven.run(Until::Finished, within).await {
            Drive::Finished(output) => Ok(output),
            Drive::Spinning => Err(spins(driven, what)),
            Drive::Silent | Drive::Cut | Drive::CutWhenWoken => {
                Err(self.why_unfinished(world, driven, rule, what))
            }
        }
    }

    /// Drives several futures concurrently to completion; none is starved while others are awaited, since
    /// what they hold may be what the others need.
    pub(super) async fn finish_all<F: Future>(
        &self,
        world: &World<Req, Res, S>,
        all: &mut [Driven<F>],
        rule: Rule,
        what: &dyn fmt::Display,
    ) -> Result<Vec<F::Output>, Violation> {
        let mut outputs: Vec<_> = all.iter().map(|_| None).collect();
        let side_by_side = poll_fn(|cx| {
            let unfinished =
                all.iter_mut().zip(&mut outputs).filter(|(_, output)| output.is_none());
            for (driven, output) in unfinished {
                match driven.step(Until::Finished, cx) {
                    Poll::Ready(Drive::Finished(finished)) => *output = Some(finished),
                    Poll::Ready(Drive::Spinning) => return Poll::Ready(Err(spins(driven, what))),
                    Poll::Ready(_) | Poll::Pending => {}
                }
            }
            if outputs.iter().all(Option::is_some) { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        if let Ok(ended) = timeout(self.contract.recovery, side_by_side).await {
            ended?;
        } else if let Some(waits) = outputs.iter().position(Option::is_none) {
            return Err(self.why_unfinished(world, &mut all[waits], rule, what));
        }
        Ok(outputs.into_iter().flatten().collect())
    }

    /// Distinguishes a lost wake-up from nothing to be woken for.
    fn why_unfinished<F: Future>(
        &self,
        world: &World<Req, Res, S>,
        driven: &mut Driven<F>,
        rule: Rule,
        what: &dyn fmt::Display,
    ) -> Violation {
        let progress = || {
            let counts = world.handle.counts();
            (counts.calls, counts.responses, counts.reservations_held)
        };
        let before = progress();
        let moves = driven.force().is_ready() || progress() != before;
        let within = self.contract.recovery;
        if moves {
            let seen = format!(
                "{what}: it was not woken within {within:?}, but a spurious poll moves it \
                 on (polled {} times)",
                driven.polls()
            );
            return Violation::new(Rule::NoLostWakeUps, seen);
        }
        let counts = world.handle.counts();
        let seen = format!(
            "{what}: it did not finish within {within:?} (the inner service saw {} calls and \
             completed {}; {} instances hold a reservation uncalled, {} wait for one)",
            counts.calls, counts.responses, counts.reservations_held, counts.reservations_awaited
        );
        Violation::new(rule, seen)
    }

    /// Makes calls until one succeeds, for as long as the contract allows for recovery.
    pub(super) async fn recovers(
        &self,
        world: &World<Req, Res, S>,
        rule: Rule,
        after: &dyn fmt::Display,
    ) -> Result<(), Violation> {
        let what = format!("{after}: a later call");
        let deadline = now() + self.contract.recovery;
        let mut pause = Duration::from_secs(1);
        loop {
            let mut call = Driven::new(self.call(world.caller()));
            let Err(fault) = self.finish(world, &mut call, rule, &what).await? else {
                return Ok(());
            };
            if now() + pause > deadline {
                let within = self.contract.recovery;
                let seen = format!(
                    "{after}: no later call got through within {within:?}, though the inner \
                     service responds again; of the last, {fault}"
                );
                return Err(Violation::new(rule, seen));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(60));
        }
    }
}

/// A future that is woken repeatedly.
pub(super) fn spins<F: Future>(driven: &Driven<F>, what: &dyn fmt::Display) -> Violation {
    let polls = driven.polls();
    let seen = format!("{what}: it was polled {polls} times while nothing changed");
    Violation::new(Rule::NoBusyLoops, seen)
}
