//! `dormouse up`: the server, in the foreground. What it prints when it is ready is here; starting
//! it is in [`crate::serve`].

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::Context;
use crate::args::name;
use crate::error::Error;
use crate::timeout::Timeout;
use crate::ui::{Format, Ui};

#[cfg(test)]
mod tests;

/// Start the server, and stay in the foreground
///
/// At the first start it makes a project named `default`. When it is ready it prints how to connect;
/// with `--output json` as one line of JSON. Logs go to standard error. Ctrl-C stops it.
#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server reads its options"))]
pub(crate) struct Up {
    /// The port for PostgreSQL clients; 0 = any free one.
    #[arg(long, value_name = "PORT", default_value_t = 5455)]
    pub(crate) pg_port: u16,

    /// The port for the API, the console and SQL over HTTP; 0 = any free one.
    #[arg(long, value_name = "PORT", default_value_t = 5480)]
    pub(crate) http_port: u16,

    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,

    /// The domain that endpoint host names end with.
    #[arg(long, value_name = "DOMAIN", default_value = "localhost", value_parser = name)]
    pub(crate) domain: String,

    #[command(flatten)]
    pub(crate) client_certs: ClientCertificates,

    /// New connections per second from one address (of IPv6: from one /64); 0 = no limit.
    ///
    /// A source that was quiet may open the connections of 10 seconds at once.
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_CONN_RATE)]
    pub(crate) max_conn_rate: u32,

    #[command(flatten)]
    pub(crate) oidc: Oidc,

    /// A setting of the pooler, by PgBouncer's name, such as `default_pool_size=40`. Repeatable.
    ///
    /// It wins over what `dormouse pooler config` and the console have set, at each start.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) pool_setting: Vec<(String, String)>,

    /// A PostgreSQL installation that is not in a usual place. Repeatable.
    #[arg(long, value_name = "DIR")]
    pub(crate) pg_dir: Vec<PathBuf>,

    /// Idle time before an endpoint sleeps, unless it says otherwise; 0 = 300s, -1 = never.
    #[arg(long, value_name = "TIME", default_value = "300s", allow_negative_numbers = true)]
    pub(crate) idle_timeout: Timeout,

    /// How long a sleeping endpoint stays paused before it stops; 0 = never pause, -1 = stay paused.
    #[arg(long, value_name = "TIME", default_value = "3600s", allow_negative_numbers = true)]
    pub(crate) pause_timeout: Timeout,

    /// The user that runs PostgreSQL, when the server runs as root [default: an ID of its own per endpoint].
    #[arg(long, value_name = "USER", value_parser = name)]
    pub(crate) compute_user: Option<String>,

    /// How endpoints are frozen and limited.
    #[arg(long, value_enum, default_value_t, value_name = "VERSION")]
    pub(crate) cgroup: Cgroup,

    /// The object store that keeps every database: `s3://bucket/prefix`, `gs://…`, `az://…` or
    /// `file:///path` [default: the directory `store` in the data directory].
    ///
    /// Credentials come from the environment, as the cloud's own tools read them (AWS_ACCESS_KEY_ID …).
    #[arg(long, value_name = "URL", env = "DORMOUSE_STORE")]
    pub(crate) store: Option<String>,

    /// Whether a new branch whose parent stands still on this machine begins as a clone of the parent's files.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) local_clone: LocalClone,

    /// A price sheet of your own, for `dormouse cost`; the first one becomes the default. Repeatable.
    ///
    /// Sheets in the directory `price-sheets` of the data directory are read as well. See docs/reference/cost.md.
    #[arg(long, value_name = "FILE")]
    pub(crate) price_sheet: Vec<PathBuf>,

    /// Where the write-ahead log of running endpoints is read.
    #[arg(long, value_enum, default_value_t, value_name = "SOURCE")]
    pub(crate) wal_source: WalSource,

    /// Leave endpoints running when the server stops; the next one takes them over.
    #[arg(long)]
    pub(crate) keep_computes: bool,

    #[command(flatten)]
    pub(crate) takeover: Takeover,

    /// How log lines look on standard error.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// Client certificates.
#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server reads its options"))]
pub(crate) struct ClientCertificates {
    /// Accept client certificates that an authority in this file (PEM) signed.
    ///
    /// A certificate whose common name is the role takes the place of the password, in every project. The
    /// file, like `tls/server.crt` and `tls/server.key` in the data directory, is read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// Whether clients must show a certificate.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", requires = "tls_client_ca")]
    pub(crate) tls_client_cert: TlsClientCert,

    /// Let certificates with this common name log in as this role, and no other. Repeatable.
    #[arg(long, value_name = "NAME=ROLE", value_parser = mapping, requires = "tls_client_ca")]
    pub(crate) tls_client_map: Vec<(String, String)>,
}

/// How it begins when another server runs.
#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server reads its options"))]
pub(crate) struct Takeover {
    /// Take over from the server that runs on this data directory, without its clients noticing.
    ///
    /// It gives its ports, its endpoints and its clients, then ends. Without one this is an ordinary start.
    #[arg(long)]
    pub(crate) takeover: bool,

    /// How long clients that cannot move (TLS, LISTEN, a running transaction) may stay with the server that
    /// is taken over; then they end with 57P01.
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "takeover")]
    pub(crate) takeover_limit: Timeout,
}

/// The identity provider whose tokens the API accepts.
#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server reads its options"))]
pub(crate) struct Oidc {
    /// Accept tokens of this identity provider for the API; exactly as tokens name it in `iss`.
    ///
    /// Its keys are read from URL/.well-known/openid-configuration. The claim `dormouse_project` binds a
    /// token's holder to one project.
    #[arg(long, value_name = "URL", requires = "oidc_audience")]
    pub(crate) oidc_issuer: Option<String>,

    /// What those tokens must be for (`aud`).
    #[arg(long, value_name = "NAME", requires = "oidc_issuer")]
    pub(crate) oidc_audience: Option<String>,

    /// Accept tokens of this subject (`sub`) only; one that ends with `*` means all that begin so. Repeatable.
    ///
    /// Needed with providers that give tokens to everybody, such as GitHub's: see docs/reference/api.md.
    #[arg(long, value_name = "SUBJECT", requires = "oidc_issuer")]
    pub(crate) oidc_subject: Vec<String>,
}

/// The value of `--cgroup`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cgroup {
    /// Version 2, else version 1, else none.
    #[default]
    Auto,
    /// Version 2.
    V2,
    /// Version 1.
    V1,
    /// None: pausing uses signals, and nothing is limited.
    Off,
}

/// The value of `--local-clone`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LocalClone {
    /// Where files can share blocks (XFS, btrfs).
    #[default]
    Auto,
    /// Everywhere; where blocks cannot be shared, bytes are copied.
    Always,
    /// Every directory comes from the object store.
    Never,
}

/// The value of `--wal-source`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WalSource {
    /// In their own files: nothing is copied before it is stored.
    #[default]
    Files,
    /// By physical replication, into files of the server's own.
    Stream,
}

/// The value of `--tls-client-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TlsClientCert {
    /// Who shows none logs in with a password.
    #[default]
    Optional,
    /// Nobody gets in without one for the role.
    Required,
}

/// The value of `--log-format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The default of `--max-conn-rate`; a test compares it with the server's.
pub(crate) const DEFAULT_CONN_RATE: u32 = 2_000;

fn mapping(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err(format!("`{text}` is not NAME=ROLE")),
    }
}

/// `NAME=VALUE` of a setting of the pooler.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

pub(crate) fn run(args: Up, cx: Context) -> Result<(), Error> {
    crate::serve::up(args, cx)
}

/// How to reach the server that just became ready. With `--output json` this is the one line that is
/// printed, and scripts rely on it: fields are added, never renamed.
#[derive(Serialize)]
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server becomes ready"))]
pub(crate) struct Announcement<'a> {
    /// The default project; `null`, like the next three, when its owner deleted every project.
    pub(crate) project_id: Option<&'a str>,
    /// The name of its default branch.
    pub(crate) branch: Option<&'a str>,
    /// For sessions, with the password.
    pub(crate) connection_string: Option<&'a str>,
    /// For pooled connections, with the password.
    pub(crate) pooled_connection_string: Option<&'a str>,
    /// The address of the API.
    pub(crate) api: &'a str,
    /// The key in `server.json`.
    pub(crate) api_key: &'a str,
    /// The address of the console.
    pub(crate) console: &'a str,
    /// The same, signing in once. Only for people: it is of no use a quarter of an hour later.
    #[serde(skip)]
    pub(crate) console_link: Option<&'a str>,
}

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only a server becomes ready"))]
impl Announcement<'_> {
    /// Prints it, once.
    pub(crate) fn print(&self, ui: Ui) -> Result<(), Error> {
        match ui.format() {
            Format::Json => ui.json_line(self),
            Format::Table => ui.text(&self.to_string()),
        }
    }
}

impl std::fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "Dormouse is ready. Databases sleep when nobody works and wake on the next connection.\n"
        )?;
        if let (Some(direct), Some(pooled)) = (self.connection_string, self.pooled_connection_string) {
            writeln!(f, "  Connect  {direct}")?;
            writeln!(f, "  Pooled   {pooled}")?;
        } else {
            writeln!(f, "  Connect  there is no project: make one with `dormouse project create`")?;
        }
        writeln!(f, "  Console  {}", self.console_link.unwrap_or(self.console))?;
        writeln!(f, "  API      {}", self.api)?;
        writeln!(
            f,
            "\n  In another terminal: `dormouse psql` connects, `dormouse status` shows what sleeps,"
        )?;
        writeln!(
            f,
            "  `dormouse console` prints a link that signs in; such a link works once, for 15 minutes."
        )?;
        writeln!(f, "  Ctrl-C stops the server and its databases.")
    }
}
