//! Connections over TCP, to the names and addresses that are granted.

mod lookup;
mod sockets;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::{BadGrant, Denials, addresses};

pub(in crate::wasm) use lookup::{Sockets, View};
pub(in crate::wasm) use sockets::Staged;

/// What one sink may connect to.
pub(super) struct Tcp {
    grants: Vec<Grant>,
    denials: Arc<Denials>,
}

/// A host and a port.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    host: Host,
    port: u16,
}

/// As the URL Standard writes it, so that no spelling of a name is another name.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// `None` where it is neither a name nor an address.
    fn parse(text: &str) -> Option<Host> {
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(Host::Address(address.to_canonical()));
        }
        let is_host = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        let url = text.chars().all(is_host).then(|| Url::parse(&format!("http://{text}")).ok())??;
        let host = url.host_str()?.trim_end_matches('.');
        // Numbers are addresses in forms that nobody should write.
        (!host.is_empty() && host.parse::<IpAddr>().is_err()).then(|| Host::Name(host.to_owned()))
    }
}

impl Grant {
    fn parse(to: &str) -> Result<Grant, BadGrant> {
        let problem = |problem: &str| BadGrant::Tcp { to: to.to_owned(), problem: problem.into() };
        let (host, port) = to.rsplit_once(':').ok_or_else(|| problem("names no port: write `HOST:PORT`"))?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| problem("ends with no port: write `HOST:PORT`, with a port from 1 to 65535"))?;
        let bare = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        let host = Some(host).filter(|_| !bare).and_then(Host::parse);
        let host = host.ok_or_else(|| {
            problem(
                "begins with no host: write `HOST:PORT`, where the host is a name or an address, as `[::1]` for IPv6",
            )
        })?;
        Ok(Grant { host, port })
    }
}

impl Tcp {
    pub(super) fn new(allow: &[String], denials: Arc<Denials>) -> Result<Tcp, BadGrant> {
        Ok(Tcp { grants: allow.iter().map(|to| Grant::parse(to)).collect::<Result<_, _>>()?, denials })
    }

    pub(super) fn is_granted(&self) -> bool {
        !self.grants.is_empty()
    }

    fn names(&self, address: IpAddr) -> bool {
        self.grants.iter().any(|grant| grant.host == Host::Address(address))
    }

    /// Whether a granted name may lead to an address. That of a machine in a private network is what most such names are
    /// for; no name but its own leads to this machine, and none to what only a neighbour on the link could answer for,
    /// such as the metadata of a cloud.
    fn may_lead(&self, name: &str, address: IpAddr) -> bool {
        let this_machine = name == "localhost" && address.is_loopback();
        addresses::is_public(address) || addresses::is_private_network(address) || this_machine || self.names(address)
    }
}

/// What one instance may connect to: what is granted, and where the granted names that it looked up lead.
#[derive(Clone)]
pub(in crate::wasm) struct Connections {
    tcp: Arc<Tcp>,
    found: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

impl Connections {
    pub(super) fn new(tcp: Arc<Tcp>) -> Connections {
        Connections { tcp, found: Arc::default() }
    }

    /// Whether a socket may be used with an address. What is no connection to elsewhere is denied always.
    pub(super) fn permits(&self, address: SocketAddr, used: SocketAddrUse) -> bool {
        match used {
            // Before each connection: any local address, which says nothing of where it leads.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpConnect => self.reaches(SocketAddr::new(address.ip().to_canonical(), address.port())),
            _ => false,
        }
    }

    fn reaches(&self, address: SocketAddr) -> bool {
        let direct = Grant { host: Host::Address(address.ip()), port: address.port() };
        let found = || self.found.lock().unwrap_or_else(PoisonError::into_inner).contains(&address);
        let permitted = self.tcp.grants.contains(&direct) || found();
        if !permitted {
            self.denied(&format!("a connection to {address}"), &address.to_string());
        }
        permitted
    }

    /// The name as it is granted, where it is.
    fn granted(&self, name: &str) -> Option<String> {
        let host = Host::parse(name);
        if let Some(Host::Name(name)) = &host
            && self.tcp.grants.iter().any(|grant| Some(&grant.host) == host.as_ref())
        {
            return Some(name.clone());
        }
        let name = crate::units::text::clean(name, 100);
        self.denied(&format!("looking up the name {name}"), &format!("{name}:PORT"));
        None
    }

    /// Whether a name that is granted leads there; it is remembered then.
    fn leads(&self, name: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if !self.tcp.may_lead(name, address) {
            let what = format!("{name} leads to {address}, which no name but its own may lead to");
            self.denied(&what, &format!("{address}:PORT"));
            return false;
        }
        let of_name = self.tcp.grants.iter().filter(|grant| matches!(&grant.host, Host::Name(host) if host == name));
        let found = of_name.map(|grant| SocketAddr::new(address, grant.port));
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        true
    }

    fn denied(&self, what: &str, grant: &str) {
        let cure = format!("`allow.tcp = [\"{grant}\"]` under this sink, or `--allow-tcp {grant}`");
        self.tcp.denials.request(what, &cure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(allow: &[&str]) -> Connections {
        let allow: Vec<String> = allow.iter().map(|to| (*to).to_owned()).collect();
        Connections::new(Arc::new(Tcp::new(&allow, Arc::new(Denials::new("p", "s"))).unwrap()))
    }

    fn connects(connections: &Connections, address: &str) -> bool {
        connections.permits(address.parse().unwrap(), SocketAddrUse::TcpConnect)
    }

    #[test]
    fn a_grant_is_a_host_and_a_port() {
        for (to, host) in [
            ("Redis.Internal:6379", Host::Name("redis.internal".into())),
            ("redis.internal.:6379", Host::Name("redis.internal".into())),
            ("10.0.0.5:6379", Host::Address("10.0.0.5".parse().unwrap())),
            ("[::1]:6379", Host::Address("::1".parse().unwrap())),
            ("[::ffff:10.0.0.5]:6379", Host::Address("10.0.0.5".parse().unwrap())),
        ] {
            assert_eq!(Grant::parse(to).unwrap(), Grant { host, port: 6379 }, "{to}");
        }
        for to in [
            "redis",
            "redis:",
            "redis:0",
            "redis:65536",
            ":6379",
            "::1:6379",
            "tcp://redis:1",
            "a/b:1",
            "u@a:1",
            "127.1:1",
        ] {
            assert!(Grant::parse(to).unwrap_err().to_string().contains("HOST:PORT"), "{to}");
        }
    }

    #[test]
    fn nothing_is_connected_to_but_what_is_granted() {
        let closed = connections(&[]);
        assert!(!connects(&closed, "127.0.0.1:1") && !connects(&closed, "1.1.1.1:53"));
        let open = connections(&["10.0.0.5:6379", "[::1]:1"]);
        assert!(connects(&open, "10.0.0.5:6379") && connects(&open, "[::1]:1"));
        for address in ["10.0.0.5:6380", "10.0.0.6:6379", "[::1]:2"] {
            assert!(!connects(&open, address), "{address}");
        }
        let address = "10.0.0.5:6379".parse().unwrap();
        for used in [SocketAddrUse::TcpListen, SocketAddrUse::TcpAccept, SocketAddrUse::UdpSend, SocketAddrUse::TcpBind]
        {
            assert!(!open.permits(address, used), "{used:?}");
        }
    }

    #[test]
    fn an_address_of_a_name_is_connected_to_once_it_was_looked_up() {
        let open = connections(&["redis.internal:6379", "redis.internal:6380"]);
        assert!(!connects(&open, "10.0.0.5:6379"));
        let name = open.granted("REDIS.internal.").unwrap();
        assert!(open.leads(&name, "10.0.0.5".parse().unwrap()));
        assert!(connects(&open, "10.0.0.5:6379") && connects(&open, "10.0.0.5:6380"));
        assert!(!connects(&open, "10.0.0.5:22"));
        assert!(
            !connects(&connections(&["redis.internal:6379"]), "10.0.0.5:6379"),
            "another instance has looked up nothing"
        );
        assert_eq!((open.granted("other.internal"), open.granted("10.0.0.5")), (None, None));
    }

    #[test]
    fn a_name_leads_to_networks_and_to_nothing_nearer() {
        let open = connections(&["redis.internal:6379", "localhost:1", "169.254.1.1:1"]);
        for address in ["1.1.1.1", "192.168.1.7", "100.64.0.1", "fd00::1", "169.254.1.1"] {
            assert!(open.leads("redis.internal", address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "::ffff:127.0.0.1"] {
            assert!(!open.leads("redis.internal", address.parse().unwrap()), "{address}");
        }
        assert!(open.leads("localhost", "127.0.0.1".parse().unwrap()));
    }
}
