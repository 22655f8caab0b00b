//! One thing that is measured.

use std::fmt;
use std::hint::black_box;

use tower::Service;

use crate::bare::{self, Request};

/// Makes so many calls, one after the other.
pub type Runner = Box<dyn FnMut(u64) + Send>;

/// One thing that is measured, by name.
pub struct Case {
    name: &'static str,
    is_shared: bool,
    start: Box<dyn Fn() -> Runner>,
}

impl Case {
    /// A service whose clones are one: two threads can call it.
    pub fn shared<S>(name: &'static str, service: S) -> Self
    where
        S: Service<Request> + Clone + Send + 'static,
    {
        Self { name, is_shared: true, start: Box::new(move || runner(service.clone())) }
    }

    /// A service that is created for each caller, since it cannot be cloned.
    pub fn alone<S>(name: &'static str, make: impl Fn() -> S + 'static) -> Self
    where
        S: Service<Request> + Send + 'static,
    {
        Self { name, is_shared: false, start: Box::new(move || runner(make())) }
    }

    /// Anything else, for one thread.
    pub fn work(name: &'static str, start: impl Fn() -> Runner + 'static) -> Self {
        Self { name, is_shared: false, start: Box::new(start) }
    }

    /// Anything else, for several threads.
    pub fn shared_work(name: &'static str, start: impl Fn() -> Runner + 'static) -> Self {
        Self { name, is_shared: true, start: Box::new(start) }
    }

    /// Whose, a slash, and what.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether several threads can use it at a time.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// A runner for one thread. All runners of a shared case share what is below.
    pub fn start(&self) -> Runner {
        (self.start)()
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The loop that is timed: compiled for each service, entered once for many calls.
fn runner<S>(mut service: S) -> Runner
where
    S: Service<Request> + Send + 'static,
{
    Box::new(move |calls| {
        for _ in 0..calls {
            let _ = black_box(bare::call(&mut service, black_box(1)));
        }
    })
}

/// A loop over `work`, which is no service.
pub fn repeat<T>(mut work: impl FnMut() -> T + Send + 'static) -> Runner {
    Box::new(move |calls| {
        for _ in 0..calls {
            black_box(work());
        }
    })
}
