//! What a `pgbouncer.ini` and the lists that it names mean for a proxy, and what of them cannot be had.
//!
//! A setting that would weaken or change a login when it is ignored is refused; one that only tunes is named in a
//! warning ([`Plan::ignored`]) and has no effect. TLS is apart, in [`super::encryption`].

use std::path::PathBuf;

use dormouse_pooler::config::hba::{Hba, Ident};
use dormouse_pooler::config::ini::Ini;
use dormouse_pooler::config::userlist::Entry;
use dormouse_pooler::config::{Settings, table};

use super::CONSOLE_NAME;
use crate::tls::TlsError;

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
    /// By a certificate for their name.
    Cert,
    /// By the user of the operating system, on a Unix socket.
    Peer,
    /// As the line of the HBA file says that fits.
    Hba,
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

/// The lists that a configuration names.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// `auth_file`.
    pub users: Vec<Entry>,
    /// It cannot be read: who was listed before still is.
    pub users_unread: bool,
    /// `auth_hba_file`.
    pub hba: Hba,
    /// `auth_ident_file`.
    pub ident: Ident,
    /// What is wrong with them and stops nobody, for the log.
    pub problems: Vec<String>,
}

/// A configuration that can be used.
#[derive(Clone)]
pub struct Plan {
    /// The file.
    pub ini: Ini,
    /// What it names.
    pub lists: Lists,
    /// How clients prove who they are.
    pub auth: AuthType,
    /// Where Unix sockets are: ours, and those of servers without a host.
    pub socket_directory: PathBuf,
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
    "unix_socket_group",
    "so_reuseport",
    "peer_id",
    "client_tls_sslmode",
    "client_tls_ca_file",
    "client_tls_cert_file",
    "client_tls_key_file",
    "client_tls_protocols",
    "client_tls13_ciphers",
    "auth_type",
    "auth_file",
    "auth_hba_file",
    "auth_ident_file",
    "auth_user",
    "auth_query",
    "auth_dbname",
    "server_tls_sslmode",
    "server_tls_ca_file",
    "server_tls_cert_file",
    "server_tls_key_file",
    "server_tls_protocols",
    "server_tls13_ciphers",
    "tcp_keepalive",
    "tcp_keepcnt",
    "tcp_keepidle",
    "tcp_keepintvl",
    "tcp_user_timeout",
    "logfile",
    "syslog",
    "syslog_ident",
    "syslog_facility",
    "pidfile",
    "user",
    "conffile",
    "job_name",
];

impl Plan {
    /// Checks a file and its lists.
    ///
    /// # Errors
    /// When something of it is wrong, or is needed and cannot be had here.
    pub fn new(ini: Ini, lists: Lists) -> Result<Self, PlanError> {
        let settings = &ini.settings;
        let auth = auth_type(&text(settings, "auth_type"))?;
        if text(settings, "auth_dbname") == CONSOLE_NAME {
            let problem = format!("cannot use the reserved \"{CONSOLE_NAME}\" database as an auth_dbname");
            return Err(PlanError::Value { setting: "auth_dbname", problem });
        }
        if auth == AuthType::Hba && text(settings, "auth_hba_file").is_empty() {
            let problem = "is needed for auth_type = hba".to_owned();
            return Err(PlanError::Value { setting: "auth_hba_file", problem });
        }
        if let Some(map) = lists.hba.maps().find(|map| !lists.ident.has(map)) {
            let problem = format!("has no map {map:?}, which auth_hba_file names");
            return Err(PlanError::Value { setting: "auth_ident_file", problem });
        }
        if auth == AuthType::Any
            && let Some(database) = ini.databases.iter().find(|database| database.user.is_none())
        {
            let problem =
                format!("any needs a role for every database, and {:?} has no user=", database.name);
            return Err(PlanError::Value { setting: "auth_type", problem });
        }
        if let Some(entry) = ini.databases.iter().find(|entry| entry.has_abstract_host()) {
            let problem = format!(
                "of {:?} names an abstract socket, which is not supported: name a directory",
                entry.name
            );
            return Err(PlanError::Value { setting: "host", problem });
        }
        let directory = text(settings, "unix_socket_dir");
        if directory.starts_with('@') {
            let problem = "names an abstract socket, which is not supported: name a directory".to_owned();
            return Err(PlanError::Value { setting: "unix_socket_dir", problem });
        }
        Ok(Self { auth, socket_directory: directory.into(), ini, lists })
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

    /// Whether a setting that the pooler's table only accepts has an effect here.
    #[must_use]
    pub fn honours(name: &str) -> bool {
        HONOURED.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// A setting's text.
    #[must_use]
    pub fn setting(&self, name: &str) -> String {
        text(&self.ini.settings, name)
    }

    /// A setting that is a number: it is none but that.
    pub(crate) fn number(&self, name: &str) -> u32 {
        self.setting(name).parse().unwrap_or_default()
    }

    /// A setting that is on or off.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.setting(name) == "1"
    }
}

pub(super) fn text(settings: &Settings, name: &str) -> String {
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
        "cert" => Ok(AuthType::Cert),
        "peer" => Ok(AuthType::Peer),
        "hba" => Ok(AuthType::Hba),
        "pam" | "ldap" => Err(refused(&format!(
            "{text} is not supported: list the roles in auth_file, or have auth_user look them up"
        ))),
        _ => Err(refused("must be any, trust, plain, md5, scram-sha-256, cert, peer or hba")),
    }
}

#[cfg(test)]
mod tests {
    use dormouse_pooler::config::ini;

    use super::*;

    #[test]
    fn what_is_said_of_settings_without_effect_is_true_here() {
        let idle = || table().filter(|setting| !setting.used && !Plan::honours(setting.name));
        let lines: String = idle().map(|setting| format!("{} = 7\n", setting.name)).collect();
        let text = format!("[pgbouncer]\n{}", lines.replace("syslog = 7", "syslog = 1"));
        let ini = ini::parse(&text, "test", &mut |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let ignored = Plan::new(ini, Lists::default()).unwrap().ignored();
        assert_eq!(ignored.len(), idle().count());
        let page = include_str!("../../../../docs/reference/pgbouncer.md");
        for (name, note) in ignored {
            for other in ["dormouse up", "compute", "metadata", "options"] {
                assert!(!note.contains(other), "{name}: {note}");
            }
            let family = ["syslog*", "dns_*", "*_tls_ciphers", "*_dheparams", "*_ecdhcurve"].into_iter().any(
                |family| match family.strip_suffix('*') {
                    Some(start) => name.starts_with(start),
                    None => name.ends_with(&family[1..]),
                },
            );
            assert!(family || name == "auth_ldap_options" || page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
