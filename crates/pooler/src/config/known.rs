//! Settings of PgBouncer that Dormouse accepts without using them, and what to use instead.
//!
//! They are here so that a `pgbouncer.ini` can be read as it is, SHOW CONFIG has the rows that monitoring looks
//! for, and a person who sets one is told that nothing happens and where to look.

use super::table::{Kind, Scope, Setting};

/// Dormouse listens, logs in and terminates TLS in the proxy, before the pooler.
const PROXY: &str = "the proxy's: see the options of `dormouse up`";
/// Passwords are roles' in the metadata, or the file that `auth_file` of a `pgbouncer.ini` names.
const ROLES: &str = "roles and their verifiers are in Dormouse's metadata";
/// Computes are reached by private Unix sockets.
const LOCAL: &str = "not needed: computes are reached by private Unix sockets";
/// Logging goes to standard error and the operator's collector.
const LOG: &str = "the log is written by `dormouse` itself: see its options";
// What follows has no effect in PgBouncer's place either, so the notes must be true there, too.

/// What waits in the kernel.
const BACKLOG: &str = "the proxy chooses how long its queue is, and takes clients at once";
/// The library has no others.
const SUITES: &str = "the suites of TLS 1.2 cannot be chosen: only safe ones are offered";
/// Keys are exchanged by elliptic curves only.
const KEYS: &str = "not needed: the curves for exchanging keys are the library's";
/// Verifiers that come from elsewhere are used as they are.
const ROUNDS: &str = "SCRAM verifiers that are made here have PostgreSQL's 4096 rounds";
/// The pooler keeps none of their addresses.
const NAMES: &str = "the system looks names of servers up, for each new connection to one that has a name";
/// Buffers belong to the runtime.
const BUFFERS: &str = "not needed: buffers are sized by the proxy";

/// A port.
const PORT: Kind = Kind::UpTo(65_535);
/// A process among its peers; 0: it has none.
const PEER: Kind = Kind::UpTo(16_383);

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    changeable: bool,
    note: &'static str,
) -> Setting {
    Setting { name, kind, pgbouncer: default, default, changeable, scope: Scope::Global, used: false, note }
}

/// The rows, by subject.
pub(super) const KNOWN: &[Setting] = &[
    row("listen_addr", Kind::Text, "", false, PROXY),
    row("listen_port", PORT, "6432", false, PROXY),
    row("listen_backlog", Kind::Int, "128", false, BACKLOG),
    row("unix_socket_dir", Kind::Text, "/tmp", false, PROXY),
    row("unix_socket_mode", Kind::Text, "0777", false, PROXY),
    row("unix_socket_group", Kind::Text, "", false, PROXY),
    row("so_reuseport", Kind::Bool, "0", false, PROXY),
    row("peer_id", PEER, "0", true, PROXY),
    row("tcp_defer_accept", Kind::Int, "1", true, BACKLOG),
    row("tcp_keepalive", Kind::Bool, "1", true, PROXY),
    row("tcp_keepcnt", Kind::Int, "0", true, PROXY),
    row("tcp_keepidle", Kind::Int, "0", true, PROXY),
    row("tcp_keepintvl", Kind::Int, "0", true, PROXY),
    row("tcp_user_timeout", Kind::Int, "0", true, PROXY),
    row("client_tls_sslmode", Kind::Word, "disable", true, PROXY),
    row("client_tls_ca_file", Kind::Text, "", true, PROXY),
    row("client_tls_cert_file", Kind::Text, "", true, PROXY),
    row("client_tls_key_file", Kind::Text, "", true, PROXY),
    row("client_tls_ciphers", Kind::Text, "default", true, SUITES),
    row("client_tls13_ciphers", Kind::Text, "", true, PROXY),
    row("client_tls_protocols", Kind::Text, "secure", true, PROXY),
    row("client_tls_dheparams", Kind::Text, "auto", true, KEYS),
    row("client_tls_ecdhcurve", Kind::Text, "auto", true, KEYS),
    row("auth_type", Kind::Word, "md5", true, ROLES),
    row("auth_file", Kind::Text, "", true, ROLES),
    row("auth_hba_file", Kind::Text, "", true, ROLES),
    row("auth_ident_file", Kind::Text, "", true, ROLES),
    row("auth_ldap_options", Kind::Text, "", true, "roles are not looked up by LDAP"),
    row("auth_user", Kind::Text, "", true, ROLES),
    row("auth_dbname", Kind::Text, "", true, ROLES),
    row(
        "auth_query",
        Kind::Text,
        "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid \
         WHERE rolname=$1 AND rolcanlogin",
        true,
        ROLES,
    ),
    row("scram_iterations", Kind::Int, "4096", true, ROUNDS),
    row("server_tls_sslmode", Kind::Word, "prefer", true, LOCAL),
    row("server_tls_ca_file", Kind::Text, "", true, LOCAL),
    row("server_tls_cert_file", Kind::Text, "", true, LOCAL),
    row("server_tls_key_file", Kind::Text, "", true, LOCAL),
    row("server_tls_ciphers", Kind::Text, "default", true, SUITES),
    row("server_tls13_ciphers", Kind::Text, "", true, LOCAL),
    row("server_tls_protocols", Kind::Text, "secure", true, LOCAL),
    row("dns_max_ttl", Kind::Seconds, "15", true, NAMES),
    row("dns_nxdomain_ttl", Kind::Seconds, "15", true, NAMES),
    row("dns_zone_check_period", Kind::Seconds, "0", true, NAMES),
    row("resolv_conf", Kind::Text, "", false, NAMES),
    row("logfile", Kind::Text, "", true, LOG),
    row("syslog", Kind::Bool, "0", true, LOG),
    row("syslog_ident", Kind::Text, "pgbouncer", true, LOG),
    row("syslog_facility", Kind::Text, "daemon", true, LOG),
    row("pidfile", Kind::Text, "", false, LOG),
    row("job_name", Kind::Text, "pgbouncer", false, LOG),
    row("user", Kind::Text, "", false, LOG),
    row("conffile", Kind::Text, "", true, LOG),
    row("pkt_buf", Kind::Bytes, "4096", false, BUFFERS),
    row("sbuf_loopcnt", Kind::Int, "5", true, BUFFERS),
    row("max_packet_size", Kind::Bytes, "2147483647", true, BUFFERS),
    row("tcp_socket_buffer", Kind::Bytes, "0", true, BUFFERS),
];
