//! Lists come in pages. A page carries an opaque place to go on from; without one it is the last.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most items in one page.
pub const MAX_LIMIT: u32 = 400;

/// The items in one page when the request does not say.
pub const DEFAULT_LIMIT: u32 = 100;

/// `pagination` in a list reply. Projects and operations go on with `cursor`, branches with
/// `next`; this difference is Neon's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// Give this as `?cursor=` to get the next page of projects or operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Give this as `?cursor=` to get the next page of branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Page {
    /// There is more: go on at `cursor`. For projects and operations.
    #[must_use]
    pub fn at_cursor(cursor: String) -> Self {
        Self { cursor: Some(cursor), next: None }
    }

    /// There is more: go on at `next`. For branches.
    #[must_use]
    pub fn at_next(next: String) -> Self {
        Self { cursor: None, next: Some(next) }
    }

    /// Where to go on, whichever of the two names it has.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.cursor.as_deref().or(self.next.as_deref())
    }
}

/// The query of a list request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageQuery {
    /// 1 to [`MAX_LIMIT`]; [`DEFAULT_LIMIT`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before this one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only items whose name or ID contains this text (projects and branches).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

impl PageQuery {
    /// A page of the largest size, from the start.
    #[must_use]
    pub fn largest() -> Self {
        Self { limit: Some(MAX_LIMIT), ..Self::default() }
    }

    /// The limit that this query asks for, or `None` when it is out of range.
    #[must_use]
    pub fn checked_limit(&self) -> Option<u32> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        (1..=MAX_LIMIT).contains(&limit).then_some(limit)
    }
}
