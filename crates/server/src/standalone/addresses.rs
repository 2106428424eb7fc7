//! What a pooler listens on: `listen_addr`, `listen_port`, `unix_socket_dir`, `unix_socket_mode`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use dormouse_pooler::config::names;
use dormouse_proxy::Bound;
use dormouse_proxy::upstream::Plan;

use super::{Inherited, PoolError, setting};

/// Everything of a file's mode that can be set.
const MODE_MASK: u32 = 0o777;

/// Takes all of them, and tells what they are called.
pub(super) fn take(plan: &Plan, inherited: Inherited) -> Result<(Vec<Bound>, Vec<String>), PoolError> {
    let inherited = inherited.sockets();
    if !inherited.is_empty() {
        let told = inherited.iter().map(Bound::name).collect();
        return Ok((inherited, told));
    }
    let shared = matches!(setting(plan, "so_reuseport").as_str(), "1" | "on" | "true" | "yes");
    let failed = |address: String| move |source| PoolError::Listen { address, source };
    let text = setting(plan, "listen_port");
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let port: u16 = text
        .parse()
        .map_err(|_| failed(format!("port {text}"))(invalid("listen_port must be from 0 to 65535")))?;
    let (mut bound, mut told) = (Vec::new(), Vec::new());
    for name in names(&setting(plan, "listen_addr")) {
        let here = tcp(name, port, shared).map_err(failed(format!("{name}, port {port}")))?;
        told.extend(here.iter().filter_map(Bound::address).map(|address| address.to_string()));
        bound.extend(here);
    }
    if !plan.socket_directory.as_os_str().is_empty() {
        let path = plan.socket_directory.join(format!(".s.PGSQL.{port}"));
        let name = path.display().to_string();
        let mode = setting(plan, "unix_socket_mode");
        let mode = u32::from_str_radix(mode.trim_start_matches("0o"), 8)
            .ok()
            .filter(|mode| mode & !MODE_MASK == 0)
            .ok_or_else(|| failed(name.clone())(invalid("unix_socket_mode must be like 0777")))?;
        bound.push(Bound::unix(&path, mode).map_err(failed(name.clone()))?);
        told.push(name);
    }
    if bound.is_empty() { Err(PoolError::NoAddress) } else { Ok((bound, told)) }
}

fn tcp(name: &str, port: u16, shared: bool) -> io::Result<Vec<Bound>> {
    if name == "*" {
        // One socket for both kinds of addresses, where the machine has both.
        let all = |ip: IpAddr| Bound::to_shared(SocketAddr::new(ip, port), shared);
        return Ok(vec![all(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| all(Ipv4Addr::UNSPECIFIED.into()))?]);
    }
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match ip {
        Ok(ip) => Ok(vec![Bound::to_shared(SocketAddr::new(ip, port), shared)?]),
        Err(_) => (name, port).to_socket_addrs()?.map(|to| Bound::to_shared(to, shared)).collect(),
    }
}
