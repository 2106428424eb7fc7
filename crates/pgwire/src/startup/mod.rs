//! What a client sends first. These packets have no tag byte; a number after the length tells them apart.
//!
//! ```text
//!  ┌───────────────┬───────────────┬─────────────────────────────────────────────┐
//!  │ length: i32   │ code: u32     │                                             │
//!  ├───────────────┼───────────────┼─────────────────────────────────────────────┤
//!  │ 8             │ 1234·5679     │ SSLRequest: answer one byte, 'S' or 'N'     │
//!  │ 8             │ 1234·5680     │ GSSENCRequest: answer 'N'                   │
//!  │ 12 + secret   │ 1234·5678     │ CancelRequest: pid u32, secret 1–256 bytes  │
//!  │ ≤ 10,004      │ 3·minor       │ StartupMessage: name\0 value\0 … \0         │
//!  └───────────────┴───────────────┴─────────────────────────────────────────────┘
//! ```
//!
//! The same port also meets clients that start TLS at once (`sslnegotiation=direct`; first byte 0x16) and people
//! who point a browser at it. Both are recognised here, so that each gets an answer that it understands.
//!
//! After [`Step::Ssl`] the caller must see that nothing else is in its buffer before it starts TLS: bytes sent
//! early could be an attacker's, and would be believed to have come through TLS.

mod http;
mod params;

pub use params::{InvalidParam, Params, Startup};

use crate::client_error::ClientError;
use crate::limit::{MAX_CANCEL_SECRET, MAX_STARTUP_LEN};
use crate::sqlstate::SqlState;

/// The newest minor version of protocol 3 whose packets we understand (PostgreSQL 18 speaks 3.2).
pub const NEWEST_MINOR: u16 = 2;

const CANCEL: u32 = 1234 << 16 | 5678;
const SSL: u32 = 1234 << 16 | 5679;
const GSS: u32 = 1234 << 16 | 5680;

/// First byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// What the client wants, as far as its bytes tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Not enough yet: call again when the buffer holds at least this many bytes in total.
    NeedMore {
        /// Bytes that the buffer must hold, counted from its start.
        at_least: usize,
    },
    /// Wants TLS. Answer `S` and start it, or `N`.
    Ssl,
    /// Wants GSSAPI encryption. Answer `N`; the client goes on with TLS or in the clear.
    Gss,
    /// Has started TLS without asking. The bytes belong to TLS, so none are consumed.
    DirectTls,
    /// Wants to stop a query of another connection. There is no answer; close.
    Cancel {
        /// The process id from the other connection's BackendKeyData.
        pid: u32,
        /// The secret from there: 4 bytes, or up to 256 since protocol 3.2.
        secret: Vec<u8>,
    },
    /// Wants a session.
    Startup(Startup),
}

/// Why the first packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// Shorter than a code, or longer than [`MAX_STARTUP_LEN`].
    #[error("invalid length of startup packet: {len}")]
    Length {
        /// The length word as sent.
        len: u32,
    },
    /// A protocol version before 3.0 or after 3.x.
    #[error("unsupported frontend protocol {major}.{minor}")]
    UnsupportedVersion {
        /// As asked for.
        major: u16,
        /// As asked for.
        minor: u16,
    },
    /// The packet's inside is not as it must be.
    #[error("malformed startup packet: {problem}")]
    Malformed {
        /// What is wrong, as a phrase.
        problem: &'static str,
    },
    /// An HTTP request. Answer in HTTP: the sender will not understand anything else.
    #[error("an HTTP request on a PostgreSQL port")]
    Http,
    /// A Terminate: it has thought better of it. Say nothing: some drivers would take an answer for a failure.
    #[error("the client left before its startup packet")]
    Left,
}

impl StartupError {
    /// What to tell the client. For [`StartupError::Http`] the caller should rather answer in HTTP.
    #[must_use]
    pub fn client_error(&self) -> ClientError {
        match self {
            Self::UnsupportedVersion { major, minor } => ClientError::unsupported_protocol(*major, *minor),
            other => ClientError::fatal(SqlState::PROTOCOL_VIOLATION, other.to_string()),
        }
    }
}

/// Terminate's first bytes, which would be a length that no startup packet has.
const TERMINATE: [u8; 4] = [b'X', 0, 0, 0];

/// Looks at everything a client has sent so far, before any tagged message. Returns what it is, and how many
/// bytes of `buf` that took (0 for [`Step::NeedMore`] and [`Step::DirectTls`]).
///
/// # Errors
/// See [`StartupError`]; after any of them the connection must be closed.
pub fn parse(buf: &[u8]) -> Result<(Step, usize), StartupError> {
    if buf.first() == Some(&TLS_HANDSHAKE) {
        return Ok((Step::DirectTls, 0));
    }
    let Some((word, after)) = buf.split_first_chunk::<4>() else {
        return Ok((Step::NeedMore { at_least: 4 }, 0));
    };
    if http::is_method(*word) {
        return Err(StartupError::Http);
    }
    if *word == TERMINATE {
        return Err(StartupError::Left);
    }
    let len = u32::from_be_bytes(*word);
    let total = usize::try_from(len).unwrap_or(usize::MAX);
    if !(8..=MAX_STARTUP_LEN + 4).contains(&total) {
        return Err(StartupError::Length { len });
    }
    let Some(body) = after.get(..total - 4) else {
        return Ok((Step::NeedMore { at_least: total }, 0));
    };
    let Some((code, body)) = body.split_first_chunk::<4>() else {
        return Err(StartupError::Length { len });
    };
    let step = match u32::from_be_bytes(*code) {
        SSL if body.is_empty() => Step::Ssl,
        GSS if body.is_empty() => Step::Gss,
        SSL | GSS => return Err(StartupError::Length { len }),
        CANCEL => cancel(body).ok_or(StartupError::Length { len })?,
        version => session(version, body)?,
    };
    Ok((step, total))
}

fn cancel(body: &[u8]) -> Option<Step> {
    let (pid, secret) = body.split_first_chunk::<4>()?;
    (1..=MAX_CANCEL_SECRET)
        .contains(&secret.len())
        .then(|| Step::Cancel { pid: u32::from_be_bytes(*pid), secret: secret.to_vec() })
}

fn session(version: u32, body: &[u8]) -> Result<Step, StartupError> {
    let [a, b, c, d] = version.to_be_bytes();
    let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    if major != 3 {
        return Err(StartupError::UnsupportedVersion { major, minor });
    }
    Ok(Step::Startup(Startup { version_minor: minor, params: Params::parse(body)? }))
}

/// The bytes of a CancelRequest, to pass one on to PostgreSQL.
#[must_use]
pub fn encode_cancel(pid: u32, secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 + secret.len());
    crate::encode::sized(&mut out, |body| {
        body.extend_from_slice(&CANCEL.to_be_bytes());
        body.extend_from_slice(&pid.to_be_bytes());
        body.extend_from_slice(secret);
    });
    out
}

/// The bytes of an SSLRequest.
#[must_use]
pub fn encode_ssl_request() -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    crate::encode::sized(&mut out, |body| body.extend_from_slice(&SSL.to_be_bytes()));
    out
}

#[cfg(test)]
mod tests;
