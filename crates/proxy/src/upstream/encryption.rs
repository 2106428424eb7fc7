//! TLS on both sides: what the settings `client_tls_*` and `server_tls_*` make of it.
//!
//! It is loaded as a whole, apart from the rest of a configuration: while somebody changes certificate and key one
//! after the other on the console, the pair that was good stays in use.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::config::{AuthType, Plan, PlanError};
use super::server_tls::ServerTls;
use crate::peer::{ClientCerts, Wanted};
use crate::tls::{Offer, Tls};

/// `client_tls_sslmode` and `server_tls_sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the other side insists.
    Allow,
    /// If the other side can.
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
        !matches!(self, Self::Disable | Self::Allow | Self::Prefer)
    }

    /// Whether the other side must show a certificate that can be trusted.
    #[must_use]
    pub fn is_verified(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// Both sides.
#[derive(Clone)]
pub struct Encryption {
    /// Of clients: whether.
    pub(super) clients: TlsMode,
    /// Of clients: with what; none when it is not offered.
    pub(super) tls: Option<Tls>,
    pub(super) servers: ServerTls,
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encryption").field("clients", &self.clients).finish_non_exhaustive()
    }
}

impl Encryption {
    /// Loads what a plan names.
    ///
    /// # Errors
    /// When files cannot be used, or something is wanted without them.
    pub fn load(plan: &Plan) -> Result<Self, PlanError> {
        let clients = tls_mode("client_tls_sslmode", &plan.setting("client_tls_sslmode"))?;
        let (ca, certificate, key) = (
            plan.setting("server_tls_ca_file"),
            plan.setting("server_tls_cert_file"),
            plan.setting("server_tls_key_file"),
        );
        let offer = offer(plan, "server_tls_protocols", "server_tls13_ciphers")?;
        let mode = tls_mode("server_tls_sslmode", &plan.setting("server_tls_sslmode"))?;
        let protocols = plan.setting("server_tls_protocols") + &plan.setting("server_tls13_ciphers");
        let servers = ServerTls::new(mode, [&ca, &certificate, &key, &protocols], &offer)?;
        Ok(Self { clients, tls: client_tls(plan, clients)?, servers })
    }
}

fn client_tls(plan: &Plan, mode: TlsMode) -> Result<Option<Tls>, PlanError> {
    if mode == TlsMode::Disable {
        return Ok(None);
    }
    let file = |setting: &'static str, needed: bool| {
        let path = plan.setting(setting);
        if needed && path.is_empty() {
            let problem = "is needed for this client_tls_sslmode".to_owned();
            return Err(PlanError::Value { setting, problem });
        }
        Ok(PathBuf::from(path))
    };
    let certificate = file("client_tls_cert_file", true)?;
    let key = file("client_tls_key_file", true)?;
    let ca = file("client_tls_ca_file", mode.is_verified())?;
    let asks = mode.is_verified() || matches!(plan.auth, AuthType::Cert | AuthType::Hba);
    // Whether there must be one, and whose it is, is the login's business.
    let clients = (asks && !ca.as_os_str().is_empty()).then(|| ClientCerts {
        ca,
        wanted: Wanted::Optional,
        names: Vec::new(),
    });
    let offer = offer(plan, "client_tls_protocols", "client_tls13_ciphers")?;
    Tls::load_with(certificate, key, clients, offer).map(Some).map_err(PlanError::ClientTls)
}

/// What is offered: TLS 1.2 and 1.3, or one of them; of 1.3 the suites that are named.
fn offer(plan: &Plan, protocols: &'static str, suites: &'static str) -> Result<Offer, PlanError> {
    let names = plan.setting(protocols);
    let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
    for name in names.split([',', ':', ' ']).filter(|name| !name.is_empty()) {
        match name.to_ascii_lowercase().as_str() {
            "secure" | "all" | "default" | "legacy" => versions.extend([&TLS12, &TLS13]),
            "tlsv1.2" => versions.push(&TLS12),
            "tlsv1.3" => versions.push(&TLS13),
            // Not spoken here; alone they leave nothing to speak.
            "tlsv1.0" | "tlsv1.1" | "tlsv1" => {}
            _ => {
                let problem = format!("has no protocol {name:?}: there are secure, tlsv1.2 and tlsv1.3");
                return Err(PlanError::Value { setting: protocols, problem });
            }
        }
    }
    let mut provider = rustls::crypto::ring::default_provider();
    let wanted = plan.setting(suites);
    if !wanted.is_empty() {
        let wanted: Vec<&str> = wanted.split(':').filter(|name| !name.is_empty()).collect();
        let known = |name: &&&str| provider.cipher_suites.iter().any(|suite| suite_name(*suite) == **name);
        if wanted.iter().find(known).is_none() {
            let problem = "failed to set the TLSv1.3 cipher suites: none of them is known".to_owned();
            return Err(PlanError::Value { setting: suites, problem });
        }
        let is_tls13 = |suite: &SupportedCipherSuite| matches!(suite, SupportedCipherSuite::Tls13(_));
        provider
            .cipher_suites
            .retain(|suite| !is_tls13(suite) || wanted.contains(&suite_name(*suite).as_str()));
    }
    let provider: Arc<CryptoProvider> = Arc::new(provider);
    Ok(Offer { provider, versions, takes_old: true })
}

/// A suite as OpenSSL calls it, as far as TLS 1.3 goes.
fn suite_name(suite: SupportedCipherSuite) -> String {
    crate::stream::suite_name(suite.suite())
}

fn tls_mode(setting: &'static str, text: &str) -> Result<TlsMode, PlanError> {
    match text {
        "disable" => Ok(TlsMode::Disable),
        "allow" => Ok(TlsMode::Allow),
        "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => {
            let problem = "must be disable, allow, prefer, require, verify-ca or verify-full".to_owned();
            Err(PlanError::Value { setting, problem })
        }
    }
}
