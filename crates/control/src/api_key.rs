//! API keys: `dm_` and 40 random characters (238 bits). Only a SHA-256 hash is kept; a slow hash
//! would protect nothing more, because a key is not guessable.

use dormouse_base::{ApiKeyId, Secret, Timestamp, rand};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::db::{Db, DbError, api_keys};
use crate::model::record::ApiKey;

/// What every key starts with.
pub const START: &str = dormouse_api::api_key::KEY_PREFIX;
/// Random characters after that.
pub const RANDOM_LEN: usize = 40;
/// Characters of a key that are kept in the clear, to find and to recognise it.
pub const PREFIX_LEN: usize = 11;

/// The hash under which a key is kept.
#[must_use]
pub fn hash(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}

/// A new key and its row.
#[must_use]
pub fn generate(name: &str, now: Timestamp) -> (Secret<String>, ApiKey) {
    let key = generate_text();
    let row = row_of(&key, name, now);
    (Secret::new(key), row)
}

/// A new key without a row.
#[must_use]
pub(crate) fn generate_text() -> String {
    format!("{START}{}", rand::token(RANDOM_LEN))
}

/// The row for a key.
#[must_use]
pub fn row_of(key: &str, name: &str, now: Timestamp) -> ApiKey {
    ApiKey {
        id: ApiKeyId::generate(),
        name: name.to_owned(),
        prefix: key.chars().take(PREFIX_LEN).collect(),
        hash: hash(key),
        created_at: now,
        last_used_at: None,
        project_id: None,
        created_by: "local".to_owned(),
        last_used_from: String::new(),
    }
}

/// The row of a key that a caller shows, if it is one of ours.
///
/// # Errors
/// When the metadata cannot be read.
pub fn check(db: &Db, key: &str) -> Result<Option<ApiKey>, DbError> {
    if key.len() != START.len() + RANDOM_LEN || !key.is_ascii() || !key.starts_with(START) {
        return Ok(None);
    }
    let candidates = db.read("look for an API key", |db| api_keys::by_prefix(db, &key[..PREFIX_LEN]))?;
    let shown = hash(key);
    Ok(candidates.into_iter().find(|row| bool::from(row.hash.as_slice().ct_eq(&shown))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_base::clock;

    #[test]
    fn only_the_whole_key_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let (key, row) = generate("ci", clock::now());
        db.write_now("add", |db| api_keys::insert(db, &row)).unwrap();
        let key = key.expose();
        assert_eq!(check(&db, key).unwrap().unwrap().id, row.id);
        let mut other = key.clone();
        other.replace_range(42..43, if key.ends_with('a') { "b" } else { "a" });
        for wrong in [other.as_str(), &key[..42], "", "dm_", &"é".repeat(21)] {
            assert_eq!(check(&db, wrong).unwrap(), None, "{wrong}");
        }
        let file = std::fs::read(dir.path().join(crate::db::FILE)).unwrap();
        assert!(!file.windows(43).any(|w| w == key.as_bytes()));
    }
}
