//! Who runs: each proxy as a process of its own, set up as its manual would have it.

use std::{
    fmt::Write as _,
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    frames::Place,
    machine::{self, Cpus},
    relay,
};

/// For a proxy to listen, or to end.
const WITHIN: Duration = Duration::from_secs(10);

/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(5);

/// Every proxy may have so many connections, both sides counted.
const CONNECTIONS: u32 = 19_000;

/// What stands between client and backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Direct,
    Relay,
    Readygate,
    Nginx,
    Haproxy,
    Caddy,
    /// Whatever a user's own address leads to.
    Target,
}

/// One column of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Contestant {
    pub(crate) kind: Kind,
    pub(crate) tuning: Tuning,
}

/// How it is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tuning {
    /// One worker on one CPU; no log line per session, as the others write none.
    OneWorker,
    /// The same and made for bulk: buffers of 64 KiB, or splicing, where the proxy has a key for it.
    Bulk,
    /// The same and made for a cold start: a shorter pause between dials than anybody would run with.
    Eager,
    /// As many workers as it likes, on all CPUs, its own defaults.
    Default,
}

/// A running proxy, or none; ended with its handle.
pub(crate) struct Proxy {
    /// Where clients connect.
    pub(crate) public: Place,
    /// Metrics of readygate.
    pub(crate) admin: SocketAddr,
    child: Option<Child>,
    folder: TempDir,
}

impl Contestant {
    /// With one worker.
    pub(crate) const fn one_worker(kind: Kind) -> Self {
        Self { kind, tuning: Tuning::OneWorker }
    }

    /// At the head of its column.
    pub(crate) fn name(self) -> String {
        let kind = match self.kind {
            Kind::Direct => "direct",
            Kind::Relay => "relay",
            Kind::Readygate => "readygate",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
            Kind::Caddy => "caddy",
            Kind::Target => "target",
        };
        match self.tuning {
            Tuning::OneWorker => kind.to_owned(),
            Tuning::Bulk => format!("{kind} bulk"),
            Tuning::Eager => format!("{kind} eager"),
            Tuning::Default => format!("{kind} default"),
        }
    }

    /// Starts it in front of `upstream` and waits until it listens.
    pub(crate) fn start(self, upstream: SocketAddr, cpus: Cpus) -> Proxy {
        let folder = tempfile::tempdir().unwrap();
        let (public, admin) = (free_address(), free_address());
        if self.kind == Kind::Direct {
            return Proxy { public: upstream.into(), admin, child: None, folder };
        }
        let config = folder.path().join("config");
        File::create(&config)
            .unwrap()
            .write_all(self.config(public, admin, upstream, folder.path()).as_bytes())
            .unwrap();
        let mut command = self.command(&config, public, upstream);
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap());
        let child = match self.tuning {
            Tuning::Default => cpus.anywhere(|| command.spawn()),
            Tuning::OneWorker | Tuning::Bulk | Tuning::Eager => cpus.at_proxy(|| command.spawn()),
        };
        let mut proxy = Proxy { public: public.into(), admin, child: Some(child.unwrap()), folder };
        proxy.until_listening(&self.name());
        proxy
    }

    fn command(self, config: &Path, public: SocketAddr, upstream: SocketAddr) -> Command {
        let mut command = Command::new(self.program());
        match self.kind {
            Kind::Direct | Kind::Target => unreachable!("nothing runs"),
            Kind::Relay => command.args([relay::ROLE, &public.to_string(), &upstream.to_string()]),
            Kind::Readygate => command.env_remove("PORT").arg("--config").arg(config),
            Kind::Nginx => command.arg("-c").arg(config).arg("-e").arg("stderr"),
            Kind::Haproxy => command.arg("-db").arg("-q").arg("-f").arg(config),
            Kind::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config),
        };
        if self.kind == Kind::Caddy {
            command.env("HOME", config.parent().unwrap());
            if self.tuning != Tuning::Default {
                command.env("GOMAXPROCS", "1");
            }
        }
        command
    }

    fn program(self) -> PathBuf {
        match self.kind {
            Kind::Direct | Kind::Target | Kind::Relay => std::env::current_exe().unwrap(),
            Kind::Readygate => env!("CARGO_BIN_EXE_readygate").into(),
            Kind::Nginx => machine::program("nginx"),
            Kind::Haproxy => machine::program("haproxy"),
            Kind::Caddy => machine::program("caddy"),
        }
    }

    fn config(self, public: SocketAddr, admin: SocketAddr, upstream: SocketAddr, folder: &Path) -> String {
        match self.kind {
            Kind::Direct | Kind::Target | Kind::Relay => String::new(),
            Kind::Readygate => self.readygate(public, admin, upstream),
            Kind::Nginx => self.nginx(public, upstream, folder),
            Kind::Haproxy => self.haproxy(public, upstream),
            Kind::Caddy => caddy(public, upstream),
        }
    }

    fn readygate(self, public: SocketAddr, admin: SocketAddr, upstream: SocketAddr) -> String {
        let (workers, log) = match self.tuning {
            Tuning::Default => ("", ""),
            Tuning::OneWorker | Tuning::Bulk | Tuning::Eager => ("workers = 1\n", "[log]\nlevel = \"warn\"\n"),
        };
        // The default hold time would end the first sessions before the last are there on a busy machine.
        format!(
            "[server]\nlisten = \"{public}\"\n{workers}[admin]\nlisten = \"{admin}\"\n\
             [upstream]\nurl = \"http://{upstream}\"\ncheck = \"/ready\"\n[gate]\nhold_timeout = \"300s\"\n{log}"
        )
    }

    fn nginx(self, public: SocketAddr, upstream: SocketAddr, folder: &Path) -> String {
        let workers = if self.tuning == Tuning::Default { "auto" } else { "1" };
        let buffers = match self.tuning {
            Tuning::Bulk => "proxy_buffer_size 64k; proxy_buffers 8 64k;",
            Tuning::OneWorker | Tuning::Eager | Tuning::Default => "",
        };
        let mut temporary = String::new();
        for what in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            write!(temporary, "{what}_temp_path {}; ", folder.join(what).display()).unwrap();
        }
        format!(
            "daemon off; user root; pid {pid}; error_log stderr crit; worker_processes {workers};\n\
             worker_rlimit_nofile 20000; events {{ worker_connections {CONNECTIONS}; }}\n\
             http {{ access_log off; {temporary}\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n\
             server {{ listen {public} backlog=4096; location / {{\n\
             proxy_pass http://{upstream}; proxy_http_version 1.1; {buffers}\n\
             proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection $connection_upgrade; proxy_read_timeout 1h; proxy_send_timeout 1h;\n\
             }} }} }}\n",
            pid = folder.join("pid").display()
        )
    }

    /// A refused dial is tried again after `timeout connect` (one second at most), `retries` times.
    fn haproxy(self, public: SocketAddr, upstream: SocketAddr) -> String {
        let threads = if self.tuning == Tuning::Default { "" } else { "nbthread 1" };
        // By default there may be a pipe for every fourth connection, and descriptors for all of them would be missing.
        let (pipes, splice) =
            if self.tuning == Tuning::Bulk { ("maxpipes 64", "option splice-auto") } else { ("", "") };
        let pause = if self.tuning == Tuning::Eager { 20 } else { 100 };
        format!(
            "global\n  maxconn 9400\n  {threads}\n  {pipes}\ndefaults\n  mode http\n  timeout client 1h\n  timeout server 1h\n\
             \x20 timeout tunnel 1h\n  timeout connect {pause}ms\n  retries 2000\n  {splice}\n\
             frontend public\n  bind {public} backlog 4096\n  default_backend app\n\
             backend app\n  server app {upstream}\n"
        )
    }
}

fn caddy(public: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\n bind {ip}\n reverse_proxy {upstream} {{\n\
         \x20 lb_try_duration 60s\n  lb_try_interval 50ms\n }}\n}}\n",
        port = public.port(),
        ip = public.ip()
    )
}

impl Proxy {
    /// One that somebody else runs.
    pub(crate) fn elsewhere(public: Place) -> Self {
        Self { public, admin: public.address, child: None, folder: tempfile::tempdir().unwrap() }
    }

    /// The process, if there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn until_listening(&mut self, name: &str) {
        let began = Instant::now();
        while TcpStream::connect(self.public.address).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let late = began.elapsed() > WITHIN;
            assert!(ended.is_none() && !late, "{name} does not listen: {ended:?}\n{}", self.log());
            thread::sleep(LOOK);
        }
    }

    fn log(&self) -> String {
        let mut log = String::new();
        File::open(self.folder.path().join("log")).unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

/// nginx ends its workers only when it is asked to.
impl Drop for Proxy {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let _ = kill_process(Pid::from_child(child), Signal::TERM);
        let began = Instant::now();
        while began.elapsed() < WITHIN && matches!(child.try_wait(), Ok(None)) {
            thread::sleep(LOOK);
            if began.elapsed() > WITHIN / 10 {
                let _ = child.kill();
            }
        }
        let _ = child.wait();
    }
}

/// Nobody has it at this moment.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
