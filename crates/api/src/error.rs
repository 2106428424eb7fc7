//! The body of every reply that is not a success. The status comes from
//! [`Kind::http_status`](dormouse_base::Kind::http_status).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What went wrong, for people (`message`, `hint`) and for programs (`code`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What is wrong, one sentence, safe to show to the client.
    pub message: String,
    /// A stable kebab-case word, such as `project-not-found`; its page is `docs/errors/<code>.md`.
    #[serde(default)]
    pub code: String,
    /// What to do about it *(extension)*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Finds this request in the server's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}
