//! What a client's login has left, on its way to another process together with the client: there, too, a server may want to
//! be shown its role's password, and the client will not be asked again.
//!
//! ```text
//!  auth_file   a verifier  ─► the client key that the proof left      the other process has the verifier itself
//!              a password  ─► nothing                                 … and that as well
//!  auth_query  whatever was found, and the client key
//! ```
//!
//! It never passes through a file: see [`super::requests`].

use std::sync::Arc;

use dormouse_base::Secret;
use dormouse_pgwire::auth::scram::LoginKeys;
use dormouse_pooler::config::userlist::Password;
use dormouse_pooler::link::{Reader, Unreadable, Writer};

use super::users::{Known, Users};

/// A client's part of what is known of roles.
#[derive(Debug, Default)]
pub struct Handed {
    /// What a server was found to have for the role.
    looked_up: Option<Secret<String>>,
    /// What a proof by SCRAM has left.
    client_key: Option<Secret<Vec<u8>>>,
}

impl Handed {
    pub(crate) fn pack(&self, out: &mut Writer) {
        out.number(u32::from(self.looked_up.is_some()));
        out.bytes(self.looked_up.as_ref().map_or(b"", |text| text.expose().as_bytes()));
        out.bytes(self.client_key.as_ref().map_or(b"", |key| key.expose()));
    }

    pub(crate) fn unpack(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (is_there, text, key) = (from.number()? != 0, from.text()?, from.bytes()?);
        Ok(Self {
            looked_up: is_there.then(|| Secret::new(text.to_owned())),
            client_key: (!key.is_empty()).then(|| Secret::new(key.to_vec())),
        })
    }
}

impl Users {
    /// What goes along with a client of this role.
    pub(super) fn hand(&self, database: &str, role: &str) -> Handed {
        let key = |known: &Known| known.keys().map(|keys| keys.client_key());
        if let Some(known) = self.listed(role) {
            return Handed { looked_up: None, client_key: key(&known) };
        }
        let Some(known) = self.remembered(database, role) else { return Handed::default() };
        let text = match &known.password {
            Password::Plain(text) | Password::Md5(text) => text.clone(),
            Password::Scram(verifier) => Secret::new(verifier.to_string()),
            Password::None => Secret::new(String::new()),
        };
        Handed { looked_up: Some(text), client_key: key(&known) }
    }

    /// A client of this role came from another process with that. What is known better here stays.
    pub(super) fn take_in(&self, database: &str, role: &str, handed: &Handed) {
        let prove = |known: &Known| {
            if let (Password::Scram(verifier), Some(key)) = (&known.password, &handed.client_key) {
                known.proved(LoginKeys::of(verifier, key.expose()));
            }
        };
        if let Some(known) = self.listed(role) {
            return prove(&known);
        }
        let Some(Ok(password)) = handed.looked_up.as_ref().map(|text| Password::of(text.expose())) else {
            return;
        };
        let known = self.found(database, role, password);
        let newer = self.remembered(database, role).is_some_and(|own| !Arc::ptr_eq(&own, &known));
        if !newer {
            prove(&known);
            self.remember(database, role, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use dormouse_pgwire::auth::scram::Verifier;
    use dormouse_pooler::config::userlist::Entry;

    use super::super::users::tests::keys;
    use super::*;
    use crate::wake::ServerPassword;

    /// The same in another process.
    fn carried(handed: &Handed) -> Handed {
        let mut out = Writer::default();
        handed.pack(&mut out);
        let packed = out.finish();
        for cut in 0..packed.len() {
            assert!(Handed::unpack(&mut Reader(&packed[..cut])).is_err());
        }
        Handed::unpack(&mut Reader(&packed)).unwrap()
    }

    fn listing(verifier: &Verifier) -> Users {
        let users = Users::default();
        users.list_is(&[Entry { name: "anna".to_owned(), password: Password::Scram(verifier.clone()) }]);
        users
    }

    fn shows_keys(users: &Users, database: &str) -> bool {
        matches!(users.for_server(database, "anna", None), ServerPassword::Keys(_))
    }

    #[test]
    fn what_a_proof_has_left_is_good_for_the_same_verifier_only() {
        let (verifier, other) = (Verifier::generate("secret"), Verifier::generate("secret"));
        let old = listing(&verifier);
        old.listed("anna").unwrap().proved(Some(keys(&verifier, "secret")));
        let handed = carried(&old.hand("db", "anna"));
        assert!(!format!("{handed:?}").contains("client_key: Some([") && handed.looked_up.is_none());
        let (same, another) = (listing(&verifier), listing(&other));
        for users in [&same, &another] {
            users.take_in("db", "anna", &handed);
        }
        assert!(shows_keys(&same, "db") && !shows_keys(&another, "db"));
    }

    #[test]
    fn what_was_looked_up_goes_along_and_does_not_replace_what_was_found_since() {
        let (old, new) = (Users::default(), Users::default());
        assert!(carried(&old.hand("db", "anna")).looked_up.is_none());
        let verifier = Verifier::generate("secret");
        let known = old.found("db", "anna", Password::Scram(verifier.clone()));
        known.proved(Some(keys(&verifier, "secret")));
        old.remember("db", "anna", known);
        let handed = carried(&old.hand("db", "anna"));
        new.take_in("db", "anna", &handed);
        assert!(shows_keys(&new, "db") && !shows_keys(&new, "other"));
        let since = new.found("db", "anna", Password::Plain(Secret::new("newer".to_owned())));
        new.remember("db", "anna", since);
        new.take_in("db", "anna", &handed);
        assert!(
            matches!(new.for_server("db", "anna", None), ServerPassword::Plain(text) if text.expose() == "newer")
        );
    }
}
