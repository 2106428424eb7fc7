//! `server.json`: how a running server tells the command line on the same machine where it is. It
//! lies in the data directory, and only its owner may read it, because the key is in it.

use dormouse_base::Secret;
use serde::{Deserialize, Serialize};

use crate::sealed;

/// Its name in the data directory.
pub const SERVER_FILE: &str = "server.json";

/// What it says. Unknown fields are ignored, so that an older command line understands a newer server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFile {
    /// The address of the API, such as `http://127.0.0.1:5480/api/v2`.
    pub api: String,
    /// A key for it.
    #[serde(with = "sealed::required")]
    pub api_key: Secret<String>,
    /// The server's process ID.
    pub pid: u32,
}
