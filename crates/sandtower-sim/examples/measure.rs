//! How fast the simulator is: a million calls in virtual time, and creations over loopback.
//!
//! ```sh
//! cargo run --release -p sandtower-sim --example measure
//! ```

#![expect(clippy::disallowed_methods, reason = "tells a person how long it took")]
#![expect(clippy::print_stdout, reason = "prints what it measured")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sandtower_sim::{Config, Limits, Plan, Rate, Sim, World, serve};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    task::JoinSet,
};
use tower::ServiceExt as _;

type Failure = Box<dyn Error + Send + Sync>;

/// Callers at a time, and how often each of them goes through a sandbox's life of four calls.
const CALLERS: u32 = 1_000;
const LIVES: u32 = 250;

const CONNECTIONS: u32 = 32;
const CREATIONS: u32 = 1_000;

fn main() -> Result<(), Failure> {
    virtual_time()?;
    loopback()
}

/// Limits that never stand in the way.
fn unlimited() -> Limits {
    let free = Rate::new(Duration::ZERO, 1);
    let limits = Plan::Pro.limits();
    Limits { create: free, manage: free, concurrent_sandboxes: u32::MAX, ..limits }
}

fn virtual_time() -> Result<(), Failure> {
    let began = Instant::now();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let (calls, passed) = runtime.block_on(async {
        let sim = Config::new().limits(unlimited()).world(World::calm()).build()?;
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let sim = sim.clone();
            callers.spawn(async move {
                for _ in 0..LIVES {
                    life(&sim).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller??;
        }
        Ok::<_, Failure>((sim.ledger().requests.values().sum::<u64>(), sim.elapsed()))
    })?;
    let took = began.elapsed();
    println!(
        "virtual time: {calls} control-plane calls, {:.0} s of the simulator's time, in {:.1} s",
        passed.as_secs_f64(),
        took.as_secs_f64()
    );
    Ok(())
}

/// Create, look, prolong, kill.
async fn life(sim: &Sim) -> Result<(), Failure> {
    let created = call(sim, Method::POST, "/v2/sandboxes", r#"{"templateID": "base"}"#).await?;
    let created: serde_json::Value = serde_json::from_slice(&created)?;
    let id = created["sandboxID"].as_str().ok_or("no sandbox was created")?;
    let path = format!("/sandboxes/{id}");
    call(sim, Method::GET, &path, "").await?;
    call(sim, Method::POST, &format!("{path}/timeout"), r#"{"timeout": 60}"#).await?;
    call(sim, Method::DELETE, &path, "").await?;
    Ok(())
}

async fn call(sim: &Sim, method: Method, path: &str, body: &'static str) -> Result<Bytes, Failure> {
    let response = sim.clone().oneshot(request(method, path, body)?).await?;
    whole(response).await
}

fn request(
    method: Method,
    path: &str,
    body: &'static str,
) -> Result<Request<Full<Bytes>>, Failure> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    Ok(request.header("x-api-key", "e2b_measure").body(Full::from(body))?)
}

async fn whole<B>(response: Response<B>) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Failure>,
{
    if !response.status().is_success() {
        return Err(format!("status {}", response.status()).into());
    }
    Ok(response.into_body().collect().await.map_err(Into::into)?.to_bytes())
}

/// Creations a second that one program can send to itself, through sockets and HTTP/1.1.
fn loopback() -> Result<(), Failure> {
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        // No time is simulated: what is left is what the simulator itself takes.
        let none = Duration::ZERO;
        let slots = u32::MAX.try_into()?;
        let world = World { create_median: none, api_latency: none, slots, ..World::calm() };
        let sim = Config::new().limits(unlimited()).world(world).build()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(serve(listener, sim.clone(), std::future::pending()));
        let began = Instant::now();
        let mut connections = JoinSet::new();
        let path = Arc::new("/v2/sandboxes");
        for _ in 0..CONNECTIONS {
            let path = Arc::clone(&path);
            connections.spawn(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                for _ in 0..CREATIONS {
                    sender.ready().await?;
                    let create = request(Method::POST, &path, r#"{"templateID": "base"}"#)?;
                    whole(sender.send_request(create).await?).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(connection) = connections.join_next().await {
            connection??;
        }
        let took = began.elapsed();
        server.abort();
        let created = sim.ledger().creates.created;
        println!(
            "loopback: {created} sandboxes created through {CONNECTIONS} connections in {:.1} s: \
             {:.0} a second",
            took.as_secs_f64(),
            f64::from(CONNECTIONS * CREATIONS) / took.as_secs_f64()
        );
        Ok(())
    })
}
