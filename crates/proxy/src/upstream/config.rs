//! What a `pgbouncer.ini` and its list of users mean for a proxy, and what of them cannot be had.
//!
//! A setting that would weaken or change a login when it is ignored is refused; one that only tunes is named in a
//! warning ([`Plan::ignored`]) and has no effect.

use std::path::PathBuf;

use dormouse_pooler::config::ini::Ini;
use dormouse_pooler::config::userlist::Entry;
use dormouse_pooler::config::{Settings, table};

use super::server_tls::ServerTls;
use crate::peer::{ClientCerts, Wanted};
use crate::tls::{Tls, TlsError};

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    /// Not at all, and whatever they call themselves: every database has a role of its own.
    Any,
    /// Not at all, but the list must know them.
    Trust,
    /// By the password in the clear.
    Plain,
    /// By MD5, or by SCRAM where the list has a SCRAM verifier.
    Md5,
    /// By SCRAM.
    Scram,
}

/// `client_tls_sslmode` and `server_tls_sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// `allow` and `prefer`: if the other side wants or can.
    Prefer,
    /// Always.
    Require,
    /// Always, with a certificate of an authority that is known.
    VerifyCa,
    /// And for the right name. For clients that is the same as [`TlsMode::VerifyCa`].
    VerifyFull,
}

impl TlsMode {
    /// Whether a connection without TLS is refused.
    #[must_use]
    pub fn is_demanded(self) -> bool {
        !matches!(self, Self::Disable | Self::Prefer)
    }

    /// Whether the other side must show a certificate that can be trusted.
    #[must_use]
    pub fn is_verified(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// Whether.
    pub mode: TlsMode,
    /// Our certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities that sign clients' certificates.
    pub ca: PathBuf,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A setting.
    #[error("{setting} {problem}")]
    Value {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// The files for TLS towards clients.
    #[error("client_tls_sslmode cannot be had")]
    ClientTls(#[source] TlsError),
}

/// A configuration that can be used.
#[derive(Clone)]
pub struct Plan {
    /// The file.
    pub ini: Ini,
    /// The list of users.
    pub users: Vec<Entry>,
    /// How clients prove who they are.
    pub auth: AuthType,
    /// TLS towards clients.
    pub client_tls: ClientTls,
    /// Where Unix sockets are: ours, and those of servers without a host.
    pub socket_directory: PathBuf,
    pub(super) server_tls: ServerTls,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("auth", &self.auth).finish_non_exhaustive()
    }
}

/// Settings that the pooler's table only accepts, but `dormouse pool` honours.
const HONOURED: &[&str] = &[
    "listen_addr",
    "listen_port",
    "unix_socket_dir",
    "unix_socket_mode",
    "client_tls_sslmode",
    "client_tls_ca_file",
    "client_tls_cert_file",
    "client_tls_key_file",
    "auth_type",
    "auth_file",
    "server_tls_sslmode",
    "server_tls_ca_file",
    "server_tls_cert_file",
    "server_tls_key_file",
    "logfile",
    "pidfile",
    "user",
    "conffile",
    "job_name",
];

impl Plan {
    /// Checks a file and its list.
    ///
    /// # Errors
    /// When something of it is wrong, or is needed and cannot be had here.
    pub fn new(ini: Ini, users: Vec<Entry>) -> Result<Self, PlanError> {
        let settings = &ini.settings;
        let auth = auth_type(&text(settings, "auth_type"))?;
        refuse_lookups(&ini)?;
        if auth == AuthType::Any
            && let Some(database) = ini.databases.iter().find(|database| database.user.is_none())
        {
            let problem =
                format!("any needs a role for every database, and {:?} has no user=", database.name);
            return Err(PlanError::Value { setting: "auth_type", problem });
        }
        let server_tls = ServerTls::new(
            tls_mode("server_tls_sslmode", &text(settings, "server_tls_sslmode"))?,
            [
                &text(settings, "server_tls_ca_file"),
                &text(settings, "server_tls_cert_file"),
                &text(settings, "server_tls_key_file"),
            ],
        )?;
        let client_tls = ClientTls {
            mode: tls_mode("client_tls_sslmode", &text(settings, "client_tls_sslmode"))?,
            certificate: text(settings, "client_tls_cert_file").into(),
            key: text(settings, "client_tls_key_file").into(),
            ca: text(settings, "client_tls_ca_file").into(),
        };
        let directory = text(settings, "unix_socket_dir");
        if directory.starts_with('@') {
            let problem = "names an abstract socket, which is not supported: name a directory".to_owned();
            return Err(PlanError::Value { setting: "unix_socket_dir", problem });
        }
        Ok(Self { auth, client_tls, server_tls, socket_directory: directory.into(), ini, users })
    }

    /// Settings of the file that have no effect here, with what is to be known about each.
    #[must_use]
    pub fn ignored(&self) -> Vec<(&'static str, &'static str)> {
        let settings = &self.ini.settings;
        let idle = table().filter(|setting| !setting.used && !HONOURED.contains(&setting.name));
        idle.filter(|setting| settings.get(setting.name).is_some_and(|value| value != setting.default))
            .map(|setting| (setting.name, setting.note))
            .collect()
    }

    /// Loads the certificate for clients, if there is one.
    ///
    /// # Errors
    /// When it cannot be used, or TLS is wanted without one.
    pub fn load_client_tls(&self) -> Result<Option<Tls>, PlanError> {
        let ClientTls { mode, certificate, key, ca } = &self.client_tls;
        if *mode == TlsMode::Disable {
            return Ok(None);
        }
        for (setting, path, needed) in [
            ("client_tls_cert_file", certificate, true),
            ("client_tls_key_file", key, true),
            ("client_tls_ca_file", ca, mode.is_verified()),
        ] {
            if needed && path.as_os_str().is_empty() {
                let problem = "is needed for this client_tls_sslmode".to_owned();
                return Err(PlanError::Value { setting, problem });
            }
        }
        // That there must be one is the login's business; whose it is proves nothing here.
        let clients = mode.is_verified().then(|| ClientCerts {
            ca: ca.clone(),
            wanted: Wanted::Optional,
            names: Vec::new(),
        });
        Tls::load(certificate.clone(), key.clone(), clients).map(Some).map_err(PlanError::ClientTls)
    }
}

fn text(settings: &Settings, name: &str) -> String {
    settings.get(name).unwrap_or_default()
}

fn auth_type(text: &str) -> Result<AuthType, PlanError> {
    let refused = |problem: &str| PlanError::Value { setting: "auth_type", problem: problem.to_owned() };
    match text {
        "any" => Ok(AuthType::Any),
        "trust" => Ok(AuthType::Trust),
        "plain" => Ok(AuthType::Plain),
        "md5" => Ok(AuthType::Md5),
        "scram-sha-256" => Ok(AuthType::Scram),
        "hba" => Err(refused("hba is not supported: choose one method for all clients, and a firewall")),
        "cert" => Err(refused(
            "cert is not supported: use scram-sha-256, and client_tls_sslmode = verify-ca to ask for a \
             certificate, too",
        )),
        "pam" | "ldap" | "peer" => {
            Err(refused(&format!("{text} is not supported: list the roles in auth_file, with scram-sha-256")))
        }
        _ => Err(refused("must be any, trust, plain, md5 or scram-sha-256")),
    }
}

/// Passwords are not asked of a server: a role that the list does not know would be let in or not by accident.
fn refuse_lookups(ini: &Ini) -> Result<(), PlanError> {
    let global = !text(&ini.settings, "auth_user").is_empty();
    if !global && ini.databases.iter().all(|database| database.auth_user.is_none()) {
        return Ok(());
    }
    let problem = "is not supported: passwords are not looked up on a server. List the roles in auth_file \
                   (their rows of pg_authid can be copied as they are)";
    Err(PlanError::Value { setting: "auth_user", problem: problem.to_owned() })
}

fn tls_mode(setting: &'static str, text: &str) -> Result<TlsMode, PlanError> {
    match text {
        "disable" => Ok(TlsMode::Disable),
        "allow" | "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => {
            let problem = "must be disable, allow, prefer, require, verify-ca or verify-full".to_owned();
            Err(PlanError::Value { setting, problem })
        }
    }
}
