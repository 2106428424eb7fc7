//! Console *(extension)*: the session of a browser. `/console/session` is beside the API, because a browser keeps its
//! session in a cookie, and whoever has no session yet must be able to ask for one.
//!
//! ```text
//!  POST /api/v2/console_link ─► a code, good once, for minutes     (with an API key: the command line)
//!  POST /console/session     ─► a session                          (with such a code, or with an API key)
//!  GET, DELETE               ─► who is signed in; sign out
//!  GET  /api/v2/console_sessions, DELETE …/{id} ─► all browsers that are signed in; sign one out
//! ```

use dormouse_base::{ApiKeyId, ProjectId, Secret, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sealed;

/// Where a browser signs in and out; outside of [`crate::routes::BASE`].
pub const SESSION_PATH: &str = "/console/session";

/// The header without which the server takes no session from a cookie. Pages of others cannot send it.
pub const HEADER: &str = "x-dormouse-console";

/// `POST /console_link`, the reply (201).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleLink {
    /// Signs in once, as the caller. It goes behind `/console/#code=`.
    #[serde(with = "sealed::required")]
    #[schemars(with = "String")]
    pub code: Secret<String>,
    /// It works until then.
    pub expires_at: Timestamp,
}

/// `POST /console/session`, the request: one of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// An API key.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "sealed::optional")]
    pub key: Option<Secret<String>>,
    /// A code of a [`ConsoleLink`].
    #[serde(default, skip_serializing_if = "Option::is_none", with = "sealed::optional")]
    pub code: Option<Secret<String>>,
}

/// `GET` and `POST /console/session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReply {
    /// Who is signed in; `null` = nobody.
    pub session: Option<ConsoleSession>,
    /// The server's version; only for those who are signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A session of a browser. It may do what its API key may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleSession {
    /// The name of its API key.
    pub name: String,
    /// The only project that it may use; absent = every project, and the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// It ends then, used or not.
    pub expires_at: Timestamp,
}

/// `GET /console_sessions`: those that the caller may end, the one that was used last first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleSessions {
    /// The sessions.
    pub sessions: Vec<SignedIn>,
}

/// `DELETE /console_sessions/{session_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleSessionEnded {
    /// What has ended.
    pub session: SignedIn,
}

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedIn {
    /// Names the session; it opens nothing.
    pub id: String,
    /// The name of the API key that it was opened with, and that it acts as.
    pub name: String,
    /// That key.
    pub key_id: ApiKeyId,
    /// The only project that it may use; absent = every project, and the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// When somebody signed in.
    pub created_at: Timestamp,
    /// When it was used last, to a minute.
    pub last_used_at: Timestamp,
    /// It ends then, used or not.
    pub expires_at: Timestamp,
    /// The address that it was used from last; empty when unknown.
    pub last_used_from_addr: String,
    /// What the browser says that it is (`User-Agent`); empty when it says nothing.
    pub user_agent: String,
    /// It is the one that asks.
    pub current: bool,
}
