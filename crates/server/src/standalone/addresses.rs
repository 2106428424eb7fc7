//! What a pooler listens on: `listen_addr`, `listen_port`, `unix_socket_dir`, `unix_socket_mode`, `unix_socket_group`;
//! or what the process that it replaces, or the service manager, has listened on already.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use dormouse_pooler::config::names;
use dormouse_proxy::Bound;
use dormouse_proxy::upstream::Plan;
use nix::unistd::Group;
use rustix::io::Errno;

use super::{Inherited, PoolError, setting};
use crate::systemd;

/// Everything of a file's mode that can be set.
const MODE_MASK: u32 = 0o777;

/// Takes all of them, and tells what they are called.
pub(super) fn take(plan: &Plan, inherited: Inherited) -> Result<(Vec<Bound>, Vec<String>), PoolError> {
    let inherited = inherited.sockets();
    if !inherited.is_empty() {
        let told = inherited.iter().map(Bound::name).collect();
        return Ok((inherited, told));
    }
    let passed = passed()?;
    if !passed.is_empty() {
        let told: Vec<String> = passed.iter().map(Bound::name).collect();
        tracing::info!(
            sockets = told.join(", "),
            "sockets passed from service manager; listen_addr and unix_socket_dir are ignored"
        );
        return Ok((passed, told));
    }
    let shared = plan.is_on("so_reuseport");
    let failed = |address: String| move |source| PoolError::Listen { address, source };
    let text = setting(plan, "listen_port");
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let port: u16 = text
        .parse()
        .map_err(|_| failed(format!("port {text}"))(invalid("listen_port must be from 0 to 65535")))?;
    let mut bound = all_tcp(&setting(plan, "listen_addr"), port, shared)?;
    let mut told: Vec<_> = bound.iter().map(Bound::name).collect();
    if !plan.socket_directory.as_os_str().is_empty() {
        let path = plan.socket_directory.join(format!(".s.PGSQL.{port}"));
        let name = path.display().to_string();
        let mode = setting(plan, "unix_socket_mode");
        let mode = u32::from_str_radix(mode.trim_start_matches("0o"), 8)
            .ok()
            .filter(|mode| mode & !MODE_MASK == 0)
            .ok_or_else(|| failed(name.clone())(invalid("unix_socket_mode must be like 0777")))?;
        let group = group(&setting(plan, "unix_socket_group")).map_err(failed(name.clone()))?;
        bound.push(Bound::unix(&path, mode, group).map_err(failed(name.clone()))?);
        told.push(name);
    }
    if bound.is_empty() { Err(PoolError::NoAddress) } else { Ok((bound, told)) }
}

/// The number of a group that is named, or numbered, if any is.
fn group(text: &str) -> io::Result<Option<u32>> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = text.parse() {
        return Ok(Some(number));
    }
    let found = Group::from_name(text).map_err(io::Error::from)?;
    let missing = || {
        let told = format!("there is no group {text:?}, which unix_socket_group names");
        io::Error::new(io::ErrorKind::NotFound, told)
    };
    found.map(|group| Some(group.gid.as_raw())).ok_or_else(missing)
}

/// The sockets of the service manager.
fn passed() -> Result<Vec<Bound>, PoolError> {
    let failed =
        |source| PoolError::Listen { address: "what the service manager has passed".to_owned(), source };
    systemd::sockets().into_iter().map(|socket| Bound::lent(socket).map_err(failed)).collect()
}

/// The addresses of a list of names. One that cannot be had here is left out with a warning, as in PgBouncer; that
/// nothing is left of the list is an error, and so is an address that another process uses.
fn all_tcp(list: &str, port: u16, shared: bool) -> Result<Vec<Bound>, PoolError> {
    let (mut bound, mut missing) = (Vec::new(), None);
    for name in names(list) {
        let failed = |source| PoolError::Listen { address: format!("{name}, port {port}"), source };
        match tcp(name, port, shared, &bound) {
            Ok(here) => bound.extend(here),
            Err(NotHad::Missing(error)) => {
                tracing::warn!("cannot listen on {name}, port {port}, which is left out: {error}");
                missing = Some(failed(error));
            }
            Err(NotHad::Failed(error)) => return Err(failed(error)),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

/// Why an address is not listened on.
#[derive(Debug)]
enum NotHad {
    /// This machine does not have it, or nobody knows the name.
    Missing(io::Error),
    Failed(io::Error),
}

/// The addresses of a name, without those that are in `taken` already. One that this machine does not have is left out
/// where the name has another: IPv6 may be switched off.
fn tcp(name: &str, port: u16, shared: bool, taken: &[Bound]) -> Result<Vec<Bound>, NotHad> {
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let addresses: Vec<SocketAddr> = match ip {
        _ if name == "*" => {
            let all = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            all.map(|ip: IpAddr| SocketAddr::new(ip, port)).into()
        }
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => (name, port).to_socket_addrs().map_err(NotHad::Missing)?.collect(),
    };
    let (mut bound, mut missing) = (Vec::new(), None);
    for mut address in addresses {
        if is_covered(address, taken) || is_covered(address, &bound) {
            continue;
        }
        if let Some(first) = bound.first().and_then(Bound::address) {
            // Port 0 was asked for: all of a name have the same.
            address.set_port(first.port());
        }
        match Bound::to_one_kind(address, shared) {
            Ok(it) => bound.push(it),
            Err(error) if is_missing(&error) => missing = Some(error),
            Err(error) => return Err(NotHad::Failed(error)),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(NotHad::Missing(error)),
        _ => Ok(bound),
    }
}

/// Whether who connects to an address comes by one that is taken.
fn is_covered(address: SocketAddr, taken: &[Bound]) -> bool {
    taken.iter().filter_map(Bound::address).any(|it| {
        let all = it.ip().is_unspecified() && it.is_ipv4() == address.is_ipv4();
        it.port() == address.port() && (all || it.ip() == address.ip())
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_one_of_each_kind_and_no_address_is_taken_twice() {
        let all = tcp("*", 0, false, &[]).unwrap();
        let addresses: Vec<_> = all.iter().filter_map(Bound::address).collect();
        assert_eq!(addresses[0].ip(), Ipv4Addr::UNSPECIFIED);
        if let Some(six) = addresses.get(1) {
            assert_eq!((six.ip(), six.port()), (Ipv6Addr::UNSPECIFIED.into(), addresses[0].port()));
        }
        let port = addresses[0].port();
        for name in ["127.0.0.1", "0.0.0.0", "*"] {
            assert!(tcp(name, port, false, &all).unwrap().is_empty(), "{name}");
        }
        // TEST-NET-1: no machine has it.
        assert!(tcp("192.0.2.1", 0, false, &all).is_err());
    }

    #[test]
    fn what_this_machine_does_not_have_is_left_out_of_a_list() {
        let names = |list: &str| -> Vec<String> {
            let all = all_tcp(list, 0, false).unwrap();
            all.iter().filter_map(Bound::address).map(|address| address.ip().to_string()).collect()
        };
        // TEST-NET-1, and a name that nobody may have.
        let missing = ["192.0.2.1", "nowhere.invalid"];
        for missing in missing {
            assert_eq!(names(&format!("{missing}, 127.0.0.2")), ["127.0.0.2"], "{missing}");
            assert_eq!(names(&format!("127.0.0.2, {missing}")), ["127.0.0.2"], "{missing}");
        }
        assert!(names("").is_empty());
        let error = all_tcp(&missing.join(","), 0, false).unwrap_err();
        assert!(error.to_string().contains("nowhere.invalid"), "{error}");
    }

    #[test]
    fn groups_have_names_and_numbers() {
        assert_eq!(group("").unwrap(), None);
        assert_eq!(group("root").unwrap(), Some(0));
        assert_eq!(group("4711").unwrap(), Some(4711));
        let error = group("nobody of this name").unwrap_err();
        assert!(error.to_string().contains("unix_socket_group"), "{error}");
    }

    #[test]
    fn an_address_that_another_uses_is_never_left_out() {
        let used = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
        let port = used.local_addr().unwrap().port();
        let error = all_tcp("127.0.0.2, 127.0.0.3", port, false).unwrap_err();
        assert!(error.to_string().contains("cannot listen on 127.0.0.3"), "{error}");
    }
}
