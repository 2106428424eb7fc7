//! Typed identifiers, so that a branch can never be passed where an endpoint is meant.
//!
//! Shapes follow what Neon's public clients test for (`br-` and `ep-` prefixes, three groups of
//! `[a-z0-9]`), because `neonctl` decides by shape whether an argument is an ID or a name. All IDs
//! match `^[a-z0-9-]{1,60}$`, so they are safe in host names, file names and object keys. A clone shares the text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rand;

/// The longest identifier that is accepted, in bytes. It must fit a DNS label together with `-pooler`.
pub const MAX_ID_LEN: usize = 52;

const FIRST: [&str; 32] = [
    "amber", "bold", "brisk", "calm", "clear", "cool", "crisp", "dawn", "deep", "dry", "early", "fair",
    "fond", "gentle", "glad", "golden", "green", "hidden", "keen", "late", "light", "little", "lucky",
    "mild", "misty", "proud", "quiet", "shy", "silent", "soft", "warm", "wild",
];
const SECOND: [&str; 32] = [
    "acorn", "badger", "beech", "birch", "bramble", "brook", "burrow", "cedar", "clover", "dune", "elm",
    "fern", "field", "glade", "hazel", "heath", "hill", "ivy", "lake", "leaf", "maple", "meadow", "moss",
    "nest", "oak", "pine", "reed", "river", "stone", "thicket", "willow", "wood",
];
const TAIL: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A string that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {wanted}: expected something like `{example}`")]
pub struct ParseIdError {
    given: String,
    wanted: &'static str,
    example: &'static str,
}

fn words() -> String {
    let bytes = rand::bytes::<10>();
    let tail: String = bytes[2..].iter().map(|b| char::from(TAIL[usize::from(b % 32)])).collect();
    format!("{}-{}-{}", FIRST[usize::from(bytes[0] % 32)], SECOND[usize::from(bytes[1] % 32)], tail)
}

fn well_formed(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ID_LEN
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $wanted:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// A fresh random identifier (40 random bits behind two words).
            #[must_use]
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), words()).into())
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if text.starts_with($prefix) && well_formed(text) {
                    Ok(Self(text.into()))
                } else {
                    let given = text.chars().take(80).collect();
                    Err(ParseIdError { given, wanted: $wanted, example: $example })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.as_str().to_owned()
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "[a-z0-9][a-z0-9-]{0,47}$"),
                    "examples": [$example],
                })
            }
        }
    };
}

id!(
    /// One tenant, for example `quiet-meadow-k3v9x2ab`.
    ProjectId, "", "a project ID", "quiet-meadow-k3v9x2ab"
);
id!(
    /// A named line of history of a project's data, for example `br-quiet-meadow-k3v9x2ab`.
    BranchId, "br-", "a branch ID", "br-quiet-meadow-k3v9x2ab"
);
id!(
    /// The compute of a branch, for example `ep-quiet-meadow-k3v9x2ab`.
    EndpointId, "ep-", "an endpoint ID", "ep-quiet-meadow-k3v9x2ab"
);
id!(
    /// A durable piece of control-plane work, for example `op-quiet-meadow-k3v9x2ab`.
    OperationId, "op-", "an operation ID", "op-quiet-meadow-k3v9x2ab"
);
id!(
    /// The public name of an API key (not its secret), for example `key-quiet-meadow-k3v9x2ab`.
    ApiKeyId, "key-", "an API key ID", "key-quiet-meadow-k3v9x2ab"
);
id!(
    /// A rule of alerts, for example `rule-quiet-meadow-k3v9x2ab`; the server's own are called by what they watch.
    AlertRuleId, "rule-", "an alert rule ID", "rule-quiet-meadow-k3v9x2ab"
);
id!(
    /// Who is told of alerts, for example `hook-quiet-meadow-k3v9x2ab`.
    WebhookId, "hook-", "a webhook ID", "hook-quiet-meadow-k3v9x2ab"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_parse_back_and_differ() {
        let a = EndpointId::generate();
        assert_ne!(a, EndpointId::generate());
        assert_eq!(a.as_str().parse::<EndpointId>().unwrap(), a);
        assert_eq!(a.as_str().split('-').count(), 4);
    }

    #[test]
    fn wrong_kind_and_bad_shape_are_refused() {
        assert!("br-x-y-z".parse::<EndpointId>().is_err());
        assert!("ep-../../etc".parse::<EndpointId>().is_err());
        assert!("ep-UPPER".parse::<EndpointId>().is_err());
        assert!("ep-".parse::<EndpointId>().is_err());
        assert!("a".repeat(MAX_ID_LEN + 1).parse::<ProjectId>().is_err());
        assert!("".parse::<ProjectId>().is_err());
    }
}
