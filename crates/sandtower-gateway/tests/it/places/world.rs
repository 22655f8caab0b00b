use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use sandtower_sim::{Plan, Server, Sim};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{KEY, LONG, World};

/// What stands for [`KEY`] in the other place.
pub(crate) const EU_KEY: &str = "e2b_eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

/// A gateway over two simulators: home, which accepts [`KEY`] alone, and `eu`, which accepts [`EU_KEY`] alone.
pub(crate) struct Two {
    world: World,
    pub(crate) eu: Sim,
    settings: Vec<String>,
    folder: PathBuf,
    sent: [Sent; 2],
    server: Server,
}

/// All that was sent to a place.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<u8>>>);

impl Two {
    pub(crate) async fn new(more: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sandtower-places-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        std::fs::write(path("home"), KEY).unwrap();
        std::fs::write(path("eu"), EU_KEY).unwrap();
        let [home, eu] = [(KEY, 1), (EU_KEY, 2)].map(|(key, seed)| {
            let sim = sandtower_sim::Config::new().plan(Plan::Pro).seed(seed).api_keys([key]);
            sim.template("base-eu").build().unwrap()
        });
        let (simulator, server) = (listen(&home).await, listen(&eu).await);
        let sent = [Sent::default(), Sent::default()];
        let urls =
            [tapped(&simulator, sent[0].clone()).await, tapped(&server, sent[1].clone()).await];
        let mut settings = vec![
            format!("upstream.api_url={}", urls[0]),
            format!("upstream.sandbox_url={}", urls[0]),
            format!("keys.upstream.team.file={}", path("home")),
            format!(
                "places=[{{ name = \"eu\", api_url = \"{0}\", sandbox_url = \"{0}\", proxy = \"none\", \
                 keys.team.file = \"{1}\", templates.base = \"base-eu\" }}]",
                urls[1],
                path("eu")
            ),
            "failover_after=1s".to_owned(),
            "stack.plan=pro".to_owned(),
        ];
        settings.extend(more.iter().map(|setting| (*setting).to_owned()));
        let all: Vec<_> = settings.iter().map(String::as_str).collect();
        let world = World::before(home, simulator, &all);
        Self { world, eu, settings, folder, sent, server }
    }

    /// Starts another gateway in its place, which knows nothing.
    pub(crate) fn restart(&mut self) {
        let settings = self.settings.clone();
        let all: Vec<_> = settings.iter().map(String::as_str).collect();
        self.world.restart(&all);
    }

    /// The settings of the gateway, with these.
    pub(crate) fn settings(&self, more: &[&str]) -> sandtower_gateway::config::Config {
        let more = more.iter().map(|setting| (*setting).to_owned());
        let all: Vec<_> = self.settings.iter().cloned().chain(more).collect();
        self.world.config(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// One more, from the next start on.
    pub(crate) fn set(&mut self, setting: String) {
        self.settings.push(setting);
    }

    /// All of them.
    pub(crate) fn all_settings(&self) -> Vec<String> {
        self.settings.clone()
    }

    /// Where the other place itself is.
    pub(crate) fn eu_address(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    /// What was sent home, and to the other place.
    pub(crate) fn sent(&self) -> [String; 2] {
        self.sent.each_ref().map(|sent| String::from_utf8_lossy(&sent.0.lock().unwrap()).into())
    }

    /// No place was sent what opens the other one.
    pub(crate) fn keys_are_apart(&self) {
        let [home, eu] = self.sent();
        assert!(home.contains(KEY) && !home.contains(EU_KEY));
        assert!(eu.contains(EU_KEY) && !eu.contains(KEY));
    }

    /// Home is down from now on, or up again.
    pub(crate) fn home_is_down(&self, is_down: bool) {
        set(&self.sim, is_down);
    }

    pub(crate) fn eu_is_down(&self, is_down: bool) {
        set(&self.eu, is_down);
    }

    /// A new sandbox while home is down: its id and its token.
    pub(crate) async fn create_in_eu(&self) -> (String, String) {
        let before = self.eu.active();
        self.home_is_down(true);
        let created = self.create().await;
        self.home_is_down(false);
        assert_eq!(self.eu.active(), before + 1);
        created
    }

    /// Creates until a sandbox is at home.
    pub(crate) async fn until_home_creates(&self) {
        let before = self.sim.active();
        let creating = async {
            while self.sim.active() == before {
                self.create().await;
            }
        };
        tokio::time::timeout(LONG, creating).await.expect("home creates again");
    }

    pub(crate) async fn health(&self, id: &str, token: &str) -> Response<Bytes> {
        let request = self.inside("GET", "/health", id, token);
        self.send(request.body(Full::default()).unwrap()).await
    }

    pub(crate) async fn kill(&self, id: &str) -> u16 {
        self.control("DELETE", &format!("/sandboxes/{id}"), None).await.status().as_u16()
    }
}

impl Deref for Two {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Two {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Drop for Two {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn set(sim: &Sim, is_down: bool) {
    let faults: Value =
        if is_down { json!([{"name": "outage", "kind": "reset"}]) } else { json!([]) };
    sim.set_faults(serde_json::from_value(faults).unwrap()).unwrap();
}

async fn listen(sim: &Sim) -> Server {
    sim.listen("127.0.0.1:0").await.unwrap()
}

/// The address of a way to the simulator on which all that is sent is kept.
async fn tapped(simulator: &Server, sent: Sent) -> String {
    let to = simulator.url().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(tap(client, to.clone(), sent.clone()));
        }
    });
    url
}

async fn tap(client: TcpStream, to: String, sent: Sent) {
    let Ok(server) = TcpStream::connect(&to).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut buffer = vec![0; 16 * 1_024];
    let up = async {
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            sent.0.lock().unwrap().extend_from_slice(&buffer[..length]);
            if to_server.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    let down = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::select! {
        () = up => {}
        _ = down => {}
    }
}

/// Waits until it `holds`: circuit breakers let calls through again.
pub(crate) async fn settled(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("it never holds");
}
