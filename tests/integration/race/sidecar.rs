//! The real readygate, as a process of its own. The benchmarks use this file too.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Lines, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

/// For one answer on the loopback. Generous: the machine may be busy with a thousand clients.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks at something that only the admin port tells.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// For what is bound to happen. Only a test that fails reaches it.
const WAIT_AT_MOST: Duration = Duration::from_secs(120);

/// A running readygate; killed when dropped.
pub(crate) struct Sidecar {
    child: Child,
    /// Where clients connect.
    pub(crate) public: SocketAddr,
    /// Metrics and status.
    pub(crate) admin: SocketAddr,
    config: tempfile::NamedTempFile,
}

impl Sidecar {
    /// Starts one on free ports in front of `upstream`; `config` is the rest of its file.
    pub(crate) fn start(upstream: SocketAddr, config: &str) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(whole(upstream, config).as_bytes()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_readygate"))
            .arg("--config")
            .arg(file.path())
            .env_remove("PORT")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let (public, admin) = addresses(&mut log);
        // A log that nobody reads would stop its writer.
        thread::spawn(move || log.for_each(drop));
        Self { child, public, admin, config: file }
    }

    /// The process, as the kernel names it.
    #[allow(dead_code, reason = "the benchmarks look at its memory and its CPU time, the tests do not")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Replaces its file; whoever starts a reload has it read.
    #[allow(dead_code, reason = "a test reloads, the benchmarks do not")]
    pub(crate) fn configure(&self, upstream: SocketAddr, config: &str) {
        std::fs::write(self.config.path(), whole(upstream, config)).unwrap();
    }

    /// Every metric at this moment, by its name with labels.
    pub(crate) async fn metrics(&self) -> HashMap<String, f64> {
        let admin = self.admin;
        let text = tokio::task::spawn_blocking(move || get(admin, "/metrics")).await.unwrap().unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
    }

    /// Asks again and again until the metrics say what is waited for.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&HashMap<String, f64>) -> bool) {
        let mut ticks = tokio::time::interval(ASK_EVERY);
        let asking = async {
            while !holds(&self.metrics().await) {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(WAIT_AT_MOST, asking).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn whole(upstream: SocketAddr, config: &str) -> String {
    let listen = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    format!("{listen}[upstream]\nurl = \"http://{upstream}\"\n{config}")
}

/// The body of a `GET`. Blocks.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}

/// The line `listening` names both.
fn addresses(log: &mut Lines<BufReader<ChildStdout>>) -> (SocketAddr, SocketAddr) {
    for line in log {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["message"] == "listening" {
            let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
            return (address("public"), address("admin"));
        }
    }
    panic!("readygate has ended before it listened; its reason is on standard error");
}
