//! Login tokens: the key, issuing and verifying. What a token is made of is [`crate::model::token`].
//!
//! The key lives in `token.key` in the data directory, readable by the server's user only; whoever has it can
//! log in as anybody. Rotating it ends every token that was issued before, of all projects, and is the only way
//! to take a token back before it expires.
//!
//! Verifying needs the key, the clock and one look at the endpoint's row: neither PostgreSQL nor a list of
//! tokens. What is written down when a token is issued is only *that* its branch has one
//! ([`crate::db::tokens`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{EndpointId, Kind, Secret, Timestamp, clock, rand};
use parking_lot::RwLock;

use crate::db::{Db, DbError, branches, endpoints, tokens};
use crate::model::Refused;
use crate::model::record::{Branch, Endpoint};
use crate::model::token::{
    self, Claims, DEFAULT_LIFETIME_SECONDS, KEY_LEN, MAX_LIFETIME_SECONDS, TokenError, TokenKey, Wanted,
};
use crate::secrets::{KeyError, private_file, write_private_file};

/// The file name in the data directory.
pub const FILE: &str = "token.key";

/// Who holds a token that expired is told so for this long; later the token is a wrong password.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Random characters that tell one token from another.
const ID_LEN: usize = 12;

/// What a new token is for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The role that its holder logs in as.
    pub role: String,
    /// The branch.
    pub branch: Branch,
    /// Only by this endpoint.
    pub endpoint: Option<Endpoint>,
    /// Only to this database.
    pub database: Option<String>,
    /// Its lifetime, seconds.
    pub lifetime_seconds: Option<i64>,
}

/// A token that was issued.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: Secret<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Issues and verifies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    db: Db,
    path: PathBuf,
    key: Arc<RwLock<TokenKey>>,
}

impl Tokens {
    /// Reads the key; makes it the first time. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read or made, has the wrong length, or others can read it.
    pub(crate) fn open(directory: &Path, db: Db) -> Result<Self, KeyError> {
        let path = directory.join(FILE);
        let bytes = private_file(&path, || rand::bytes::<KEY_LEN>().to_vec())?;
        let found = bytes.expose().len();
        let key = <[u8; KEY_LEN]>::try_from(bytes.expose().as_slice());
        let key = key.map_err(|_| KeyError::Length { path: path.clone(), found })?;
        Ok(Self { db, path, key: Arc::new(RwLock::new(TokenKey::new(Secret::new(key)))) })
    }

    /// A new key; every token that was issued before ends now. Returns the new key's name. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written; then the old key stays.
    pub(crate) fn rotate(&self) -> Result<String, KeyError> {
        let mut key = self.key.write();
        let new = Secret::new(rand::bytes::<KEY_LEN>());
        write_private_file(&self.path, new.expose())?;
        *key = TokenKey::new(new);
        tracing::info!(key = key.id(), "the key of login tokens was rotated");
        Ok(key.id().to_owned())
    }

    /// Issues a token.
    pub(crate) async fn issue(&self, wish: Wish) -> Result<Result<Issued, Refused>, DbError> {
        let lifetime = wish.lifetime_seconds.unwrap_or(DEFAULT_LIFETIME_SECONDS);
        if !(1..=MAX_LIFETIME_SECONDS).contains(&lifetime) {
            let text = format!(
                "`expires_in_seconds` must be a number from 1 to {MAX_LIFETIME_SECONDS}: ask for a new token when \
                 one is needed"
            );
            return Ok(Err(Refused { kind: Kind::Invalid, code: "bad-token-lifetime", message: text }));
        }
        let now = clock::now();
        let begin = now.as_second();
        let claims = Claims {
            aud: wish.branch.project_id.clone(),
            sub: wish.role.clone(),
            branch: wish.branch.id.clone(),
            endpoint: wish.endpoint.map(|endpoint| endpoint.id),
            database: wish.database,
            iat: begin,
            nbf: begin,
            exp: begin + lifetime,
            jti: rand::token(ID_LEN),
        };
        let expires_at = Timestamp::from_second(claims.exp).unwrap_or(now);
        let forget = now - REMEMBERED;
        let note =
            move |db: &rusqlite::Transaction<'_>| tokens::note(db, &wish.branch.id, expires_at, forget);
        self.db.write("note a login token", note).await?;
        tracing::info!(id = claims.jti, role = claims.sub, branch = %claims.branch, "issued a login token");
        Ok(Ok(Issued { token: token::sign(&self.key.read(), &claims), expires_at }))
    }

    /// Whether somebody may hold a token for this endpoint's branch, or did until lately.
    pub(crate) fn expected(&self, endpoint: &EndpointId) -> Result<bool, DbError> {
        let until = self.db.read("look for login tokens", |db| {
            let Some(endpoint) = endpoints::get(db, endpoint)? else { return Ok(None) };
            tokens::until(db, &endpoint.branch_id)
        })?;
        Ok(until.is_some_and(|until| clock::now() < until + REMEMBERED))
    }

    /// Whether a token proves that its holder may be this role here.
    pub(crate) fn verify(
        &self,
        shown: &[u8],
        endpoint: &EndpointId,
        role: &str,
        database: &str,
    ) -> Result<Result<(), TokenError>, DbError> {
        let key = self.key.read().clone();
        // Cheap and without the metadata, for all that is no token.
        if let Err(error) = token::open(&key, shown) {
            return Ok(Err(error));
        }
        let place = self.db.read("find an endpoint", |db| {
            let Some(endpoint) = endpoints::get(db, endpoint)? else { return Ok(None) };
            Ok(branches::get(db, &endpoint.branch_id)?.map(|branch| (endpoint, branch)))
        })?;
        let Some((row, branch)) = place else { return Ok(Err(TokenError::Place)) };
        let wanted =
            Wanted { project: &row.project_id, branch: &branch.id, endpoint: &row.id, role, database };
        Ok(token::verify(&key, shown, &wanted, clock::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_ends_what_the_old_one_signed_and_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let tokens = Tokens::open(dir.path(), db.clone()).unwrap();
        let first = tokens.key.read().id().to_owned();
        assert_eq!(Tokens::open(dir.path(), db.clone()).unwrap().key.read().id(), first);
        let second = tokens.rotate().unwrap();
        assert_ne!(first, second);
        assert_eq!(tokens.key.read().id(), second);
        assert_eq!(Tokens::open(dir.path(), db).unwrap().key.read().id(), second);
        let mode = std::os::unix::fs::MetadataExt::mode(&dir.path().join(FILE).metadata().unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }
}
