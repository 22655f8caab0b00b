//! Behind a socket the simulator is the same, and the server ends when it is asked to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::net::SocketAddr;

use crate::common::{KEY, secs};
use sandtower_sim::{Config, Limits, Plan, Rate, Sim, World, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time,
};

async fn serving(world: World) -> (SocketAddr, Sim, oneshot::Sender<()>, JoinHandle<()>) {
    let sim = Config::new().world(world).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let served = sim.clone();
    let server = tokio::spawn(async move {
        serve(listener, served, async { drop(stopped.await) }).await.unwrap();
    });
    (address, sim, stop, server)
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    // A reset is a response too: an empty one.
    drop(stream.read_to_end(&mut response).await);
    String::from_utf8(response).unwrap()
}

fn create() -> String {
    let body = r#"{"templateID": "base"}"#;
    let length = body.len();
    format!(
        "POST /v2/sandboxes HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn requests_get_responses_over_a_socket() {
    let (address, sim, stop, server) = serving(World::calm()).await;
    let response = exchange(address, &create()).await;
    assert!(response.starts_with("HTTP/1.1 201 Created\r\n"), "{response}");
    assert_eq!(sim.active(), 1);
    let garbage = exchange(address, "NOT HTTP\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    stop.send(()).unwrap();
    time::timeout(secs(5), server).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_broken_connection_has_no_response() {
    let (address, sim, stop, _server) =
        serving(World { response_lost: 1.0, ..World::calm() }).await;
    assert_eq!(exchange(address, &create()).await, "");
    assert_eq!(sim.active(), 1);
    drop(stop);
}

#[tokio::test]
async fn each_fault_is_seen_through_a_socket() {
    let (address, sim, stop, _server) = serving(World::calm()).await;
    let put = async |fault: &str| {
        let body = format!(r#"{{"faults": [{{"name": "x", {fault}}}]}}"#);
        let length = body.len();
        let put = format!(
            "PUT /_sim/faults HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        );
        let response = exchange(address, &put).await;
        assert!(response.starts_with("HTTP/1.1 204"), "{response}");
        exchange(address, &create()).await
    };
    for (fault, done) in [
        (r#""kind": "refuse""#, 0),
        (r#""kind": "reset""#, 0),
        (r#""kind": "stall", "lasting": 0"#, 0),
        (r#""kind": "stall", "lasting": 0, "after_work": true"#, 1),
        (r#""kind": "lose""#, 1),
    ] {
        let before = sim.active();
        assert_eq!(put(fault).await, "", "{fault}");
        assert_eq!(sim.active() - before, done, "{fault}");
    }
    let cut = put(r#""kind": "cut""#).await;
    let (head, body) = cut.split_once("\r\n\r\n").unwrap();
    let promised = head.split_once("content-length: ").unwrap().1;
    let promised: usize = promised.lines().next().unwrap().parse().unwrap();
    assert!(head.starts_with("HTTP/1.1 201") && !body.is_empty(), "{cut}");
    assert!(body.len() < promised, "{cut}");
    let plain = put(r#""kind": "respond", "response": "balancer_502""#).await;
    assert!(plain.starts_with("HTTP/1.1 502") && plain.ends_with("\r\n\r\nBad Gateway"), "{plain}");
    drop(stop);
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_up_the_end() {
    let (address, _sim, stop, server) = serving(World::calm()).await;
    let silent = TcpStream::connect(address).await.unwrap();
    // Connections are accepted in their order: when a later one has its response, the silent one is inside.
    exchange(address, &create()).await;
    stop.send(()).unwrap();
    time::timeout(secs(10), server).await.unwrap().unwrap();
    drop(silent);
}

#[tokio::test]
async fn a_client_that_half_closes_after_its_request_gets_its_response() {
    let (address, sim, stop, _server) = serving(World::calm()).await;
    let keep_alive = create().replace("connection: close\r\n", "");
    for request in [create(), keep_alive] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 201"), "{response}");
    }
    // The stream of a command goes on too.
    let id = sim.ledger().sandboxes[0].id.clone();
    let script = r#"{"process":{"cmd":"bash","args":["-c","echo a; sleep 0.2; echo b"]}}"#;
    let body = crate::common::envelope(script);
    let head = format!(
        "POST /process.Process/Start HTTP/1.1\r\nhost: x\r\ne2b-sandbox-id: {id}\r\n\
         e2b-sandbox-port: 49983\r\ncontent-type: application/connect+json\r\n\
         x-access-token: {}\r\ncontent-length: {}\r\n\r\n",
        token(&sim, &id).await,
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    let response = String::from_utf8_lossy(&response).into_owned();
    assert!(response.contains("exit status 0"), "{response}");
    // One that goes away in the middle of its request is gone.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&create().as_bytes()[..create().len() - 5]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut response = Vec::new();
    time::timeout(secs(5), stream.read_to_end(&mut response)).await.unwrap().unwrap();
    drop(stop);
}

async fn token(sim: &Sim, id: &str) -> String {
    let info =
        crate::common::send(sim, crate::common::control("GET", &format!("/sandboxes/{id}"), ""))
            .await;
    info.json()["envdAccessToken"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_server_listens_once_it_is_returned_and_ends_on_shutdown() {
    let sim = Config::new().build().unwrap();
    let server = sim.listen("127.0.0.1:0").await.unwrap();
    assert_eq!(server.url(), format!("http://{}", server.address()));
    assert!(exchange(server.address(), &create()).await.starts_with("HTTP/1.1 201"));
    let address = server.address();
    server.shutdown().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    let address = sim.listen("127.0.0.1:0").await.unwrap().address();
    time::timeout(secs(5), async {
        while TcpStream::connect(address).await.is_ok() {
            time::sleep(secs(1) / 100).await;
        }
    })
    .await
    .expect("a server that was dropped goes too");
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    use std::process::Stdio;
    use tokio::{
        io::{AsyncBufReadExt as _, BufReader},
        process::Command,
    };

    let mut program = Command::new(env!("CARGO_BIN_EXE_sandtower-sim"))
        .args(["--listen", "127.0.0.1:0", "--scenario", "stress"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(program.stdout.take().unwrap()).lines();
    let told = time::timeout(secs(10), stdout.next_line()).await.unwrap().unwrap().unwrap();
    let address: SocketAddr = told.strip_prefix("listening on http://").unwrap().parse().unwrap();
    // A creation of that world is in progress for seconds.
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(create().as_bytes()).await.unwrap();
    exchange(address, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let pid = program.id().unwrap().to_string();
    let signal = async || {
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    };
    signal().await;
    // The first one closes the listener; only then is the second one the second.
    while TcpStream::connect(address).await.is_ok() {
        time::sleep(secs(1) / 100).await;
    }
    signal().await;
    // The first one alone would wait for five seconds.
    let ended = time::timeout(secs(2), program.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_program_tells_its_address_and_ends_when_asked() {
    use std::process::Stdio;
    use tokio::{
        io::{AsyncBufReadExt as _, BufReader},
        process::Command,
    };

    for signal in ["-INT", "-TERM"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_sandtower-sim"))
            .args(["--listen", "127.0.0.1:0", "--seed", "7", "--plan", "pro", "--world", "calm"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(program.stdout.take().unwrap()).lines();
        let told = time::timeout(secs(10), stdout.next_line()).await.unwrap().unwrap().unwrap();
        let address = told.strip_prefix("listening on http://").unwrap().parse().unwrap();
        let response = exchange(address, &create()).await;
        assert!(response.starts_with("HTTP/1.1 201"), "{response}");
        let pid = program.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
        let ended = time::timeout(secs(10), program.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
        assert_eq!(stdout.next_line().await.unwrap(), None, "nothing else is printed");
    }
}

#[tokio::test]
async fn in_real_time_a_seed_decides_the_same_for_requests_one_after_the_other() {
    let statuses = async |seed| {
        let world = World {
            create_median: secs(0),
            api_latency: secs(0),
            create_failure: 0.3,
            connection_reset: 0.1,
            response_lost: 0.1,
            ..World::calm()
        };
        let free = Rate::new(secs(0), 1);
        let limits = Limits { create: free, concurrent_sandboxes: 100, ..Plan::Pro.limits() };
        let sim = Config::new().seed(seed).limits(limits).world(world).build().unwrap();
        let server = sim.listen("127.0.0.1:0").await.unwrap();
        let mut statuses = Vec::new();
        for _ in 0..40 {
            let response = exchange(server.address(), &create()).await;
            statuses.push(response.get(9..12).unwrap_or("reset").to_owned());
        }
        let ids = sim.ledger().sandboxes.into_iter().map(|record| record.id);
        (statuses, ids.collect::<Vec<_>>())
    };
    let (one, again, other) = (statuses(7).await, statuses(7).await, statuses(8).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
    let count = |status: &str| one.0.iter().filter(|found| *found == status).count();
    assert!(
        count("201") > 5 && count("500") + count("503") + count("504") > 2 && count("reset") > 2,
        "{:?}",
        one.0
    );
}
