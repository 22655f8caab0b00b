//! The programs that are compared, each in a process of its own.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sandtower::core::Tick;

use super::workers;

/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(10);
/// The unit of processor times under /proc: a hundredth of a second, whatever the kernel counts in.
const TICK: Duration = Duration::from_millis(10);

/// A proxy that runs, until it is dropped.
pub(super) struct Program {
    child: Child,
    address: SocketAddr,
    /// Ends it, where killing it would leave its own processes.
    stop: Option<Command>,
}

impl Program {
    /// nginx as a plain reverse proxy: connections to the upstream are kept, nothing is logged, and bodies
    /// are passed on as they come, as the gateway does.
    pub(super) fn nginx(program: &Path, folder: &Path, to: SocketAddr) -> io::Result<Self> {
        let address = free()?;
        fs::create_dir_all(folder)?;
        let config = folder.join("nginx.conf");
        fs::write(&config, nginx_config(folder, address, to))?;
        let nginx = || {
            let mut command = Command::new(program);
            command.arg("-p").arg(folder).arg("-c").arg(&config).args(["-e", "stderr"]);
            command
        };
        let mut stop = nginx();
        stop.args(["-s", "stop"]);
        Self::start(&mut nginx(), address, Some(stop))
    }

    /// The gateway, with `settings` of its own.
    pub(super) fn gateway(program: &Path, to: SocketAddr, settings: &[&str]) -> io::Result<Self> {
        let address = free()?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", &address.to_string(), "--admin", "127.0.0.1:0"]);
        let own = [
            format!("upstream.api_url=http://{to}"),
            format!("upstream.sandbox_url=http://{to}"),
            String::from("upstream.proxy=none"),
        ];
        for setting in own.iter().map(String::as_str).chain(settings.iter().copied()) {
            command.args(["--set", setting]);
        }
        Self::start(&mut command, address, None)
    }

    /// This program, as the proxy without layers.
    pub(super) fn plain(program: &Path, to: SocketAddr) -> io::Result<Self> {
        let address = free()?;
        let (listen, to) = (address.to_string(), to.to_string());
        let mut command = Command::new(program);
        command.args(["--serve-plain", &listen, "--upstream", &to]);
        Self::start(&mut command, address, None)
    }

    fn start(
        command: &mut Command,
        address: SocketAddr,
        stop: Option<Command>,
    ) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let program = command.get_program().to_string_lossy().into_owned();
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{program} cannot be started: {error}"))
        };
        let child = command.spawn().map_err(named)?;
        let program = Self { child, address, stop };
        let until = Tick::now() + START;
        while let Err(error) = TcpStream::connect(address) {
            if Tick::now() > until {
                return Err(named(error));
            }
            pause(Duration::from_millis(20));
        }
        Ok(program)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processor time that it has taken, its own processes included.
    pub(super) fn processor_time(&self) -> io::Result<Duration> {
        let times = self.processes()?.into_iter().map(|process| {
            let stat = fs::read_to_string(process.join("stat"))?;
            // The name before it may hold anything but a closing parenthesis.
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0u32));
            Ok(TICK * ticks.sum())
        });
        times.sum()
    }

    /// The memory that it holds, in bytes, its own processes included.
    pub(super) fn memory(&self) -> io::Result<u64> {
        let sizes = self.processes()?.into_iter().map(|process| {
            let status = fs::read_to_string(process.join("status"))?;
            let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = size.and_then(|size| size.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            Ok(1_024 * kib.unwrap_or_default())
        });
        sizes.sum()
    }

    /// The folders under /proc.
    fn processes(&self) -> io::Result<Vec<PathBuf>> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        let all = children.split_whitespace().map(str::to_owned).chain([own.to_string()]);
        Ok(all.map(|id| Path::new("/proc").join(id)).collect())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended already is as well.
        match &mut self.stop {
            Some(stop) => drop(stop.stderr(Stdio::null()).status()),
            None => drop(self.child.kill()),
        }
        drop(self.child.wait());
    }
}

/// An address that nothing listens at.
fn free() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

#[expect(clippy::disallowed_methods, reason = "nothing else runs in this thread")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn nginx_config(folder: &Path, listen: SocketAddr, to: SocketAddr) -> String {
    let (folder, workers) = (folder.display(), workers::count());
    format!(
        "daemon off;
pid {folder}/nginx.pid;
error_log stderr crit;
worker_processes {workers};
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    upstream service {{
        server {to};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen} reuseport backlog=1024;
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"
    )
}
