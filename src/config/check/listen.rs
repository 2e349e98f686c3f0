//! `[server]` and `[admin]`.

use std::net::SocketAddr;

use super::Checker;
use crate::config::{Admin, Server, problem::Place, raw, units::Size};

/// hyper panics below this size of its read buffer (`hyper::server::conn::http1::Builder::max_buf_size`).
const FEWEST_HEADER_BYTES: Size = Size::kib(8);
/// No browser and no library sends a head of this size; a larger limit only serves floods.
const MOST_HEADER_BYTES: Size = Size::mib(1);
/// Far above the CPUs of any machine, far below the threads a process may have.
const MOST_WORKERS: u32 = 1024;
/// The variable by which platforms name the public port.
const PORT: &str = "PORT";
/// A stand-in for an address that cannot be read.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

impl Checker<'_, '_> {
    pub(super) fn listeners(&mut self, raw: raw::Server, admin: &raw::Admin) -> (Server, Admin) {
        let public = self.public_address(&raw.listen);
        let private = self.address("admin.listen", &admin.listen);
        if let (Some(public), Some(private)) = (public, private) {
            self.push_clash(public, private);
        }
        let server = Server {
            listen: public.unwrap_or(NOWHERE),
            workers: self.workers(raw.workers),
            header_timeout: self.time("server.header_timeout", raw.header_timeout),
            header_bytes: self.header_bytes(raw.header_bytes),
            tls: raw.tls.and_then(|tls| self.server_tls(tls)),
        };
        (server, Admin { listen: private.unwrap_or(NOWHERE) })
    }

    fn address(&mut self, path: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            let what = format!("{path} = {} is no IP address with a port", self.quoted(&path.into(), text));
            self.push(path, what, r#"write "0.0.0.0:8080", "127.0.0.1:8080" or "[::]:8080""#);
        }
        address
    }

    fn public_address(&mut self, text: &str) -> Option<SocketAddr> {
        let address = self.address("server.listen", text);
        let Some(port) = self.environment.variable(PORT) else { return address };
        match port.parse() {
            Ok(port) if port > 0 => address.map(|address| SocketAddr::new(address.ip(), port)),
            Ok(_) | Err(_) => {
                let place = Place::Variable(PORT.into());
                self.document.push_at(place, format!("{port:?} is no port"), "expected a number from 1 to 65535");
                None
            }
        }
    }

    fn push_clash(&mut self, public: SocketAddr, private: SocketAddr) {
        let overlap = public.ip() == private.ip() || public.ip().is_unspecified() || private.ip().is_unspecified();
        if overlap && public.port() == private.port() && public.port() != 0 {
            let what = format!("admin.listen {private} takes the port of server.listen {public}");
            self.push_between("admin.listen", "server.listen", what, "give the two different ports");
        }
    }

    fn workers(&mut self, workers: u32) -> std::num::NonZeroUsize {
        let workers = self.count("server.workers", workers, 0..=MOST_WORKERS);
        let asked = usize::try_from(workers).ok().and_then(std::num::NonZeroUsize::new);
        asked.unwrap_or(self.environment.cpus)
    }

    fn header_bytes(&mut self, size: Size) -> usize {
        if size < FEWEST_HEADER_BYTES || size > MOST_HEADER_BYTES {
            let what = format!("server.header_bytes = \"{size}\" is out of range");
            self.push("server.header_bytes", what, format!("expected {FEWEST_HEADER_BYTES} to {MOST_HEADER_BYTES}"));
        }
        usize::try_from(size.0).unwrap_or(usize::MAX)
    }
}
