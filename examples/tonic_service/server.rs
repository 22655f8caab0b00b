//! A server with admission control: one call is admitted, one waits, and the next is rejected.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sandtower::admission::{AdmissionLayer, Config};
use sandtower::core::BoxError;
use sandtower::http::{GrpcClassify, RejectionResponseLayer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::codegen::tokio_stream::Empty;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::ServiceBuilder;

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, work: Work) -> Result<(), BoxError> {
    let admission = AdmissionLayer::new(Config::new("this server").concurrency(1).queue(1))?;
    let layers = ServiceBuilder::new()
        // Above everything that rejects.
        .layer(RejectionResponseLayer::grpc())
        .layer(admission.classify(GrpcClassify::default()));
    let server = Server::builder().layer(layers).add_service(HealthServer::new(work));
    Ok(server.serve_with_incoming(TcpIncoming::from(listener)).await?)
}

/// The work of the server, whose duration and failures are scripted.
#[derive(Clone, Default)]
pub(crate) struct Work {
    state: Arc<State>,
}

struct State {
    /// How many of the next calls fail.
    fails: AtomicU32,
    /// Calls that arrived.
    calls: AtomicU32,
    done: Semaphore,
}

impl Default for State {
    fn default() -> Self {
        Self { fails: AtomicU32::new(0), calls: AtomicU32::new(0), done: Semaphore::new(0) }
    }
}

impl Work {
    /// Lets this many calls complete.
    pub(crate) fn finish(&self, calls: usize) {
        self.state.done.add_permits(calls);
    }

    /// Makes the next calls fail.
    pub(crate) fn fail(&self, calls: u32) {
        self.state.fails.store(calls, Ordering::Relaxed);
    }

    /// How many calls arrived since this was last called.
    pub(crate) fn info(&self) -> u32 {
        self.state.calls.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl Health for Work {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.state.calls.fetch_add(1, Ordering::Relaxed);
        let fewer = |fails: u32| fails.checked_sub(1);
        let fails = self.state.fails.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        if fails.is_ok() {
            return Err(Status::unavailable("a transient failure"));
        }
        if let Ok(done) = self.state.done.acquire().await {
            done.forget();
        }
        let status = ServingStatus::Serving as i32;
        Ok(Response::new(HealthCheckResponse { status }))
    }

    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watching is not implemented"))
    }
}
