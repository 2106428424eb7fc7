//! The roles: what they must show, and what their logins leave.
//!
//! ```text
//!  auth_file ─► list        role ─► Known: the password           ┬ a verifier made of it   for the next login
//!  auth_query ─► looked up  database, role ─► Known, once proved  └ keys that a login left  for the server
//! ```
//!
//! What was looked up is its database's alone: who may say what a role's password is in one has no say in another, and a
//! server is shown nothing that another one has told. And nobody has a say in it who has not proved that role.
//!
//! What was made of a password hangs on that password, so that a login which began before a reload has nothing to leave
//! to the password that came with it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use dormouse_pgwire::auth::scram::{LoginKeys, Verifier};
use dormouse_pooler::config::userlist::{Entry, Password};
use dormouse_runtime::task;
use parking_lot::{Mutex, RwLock};

use crate::wake::ServerPassword;

/// Roles whose passwords were looked up that are remembered.
const MAX_LOOKED_UP: usize = 10_000;

/// A password, and what was made of it.
pub(super) struct Known {
    pub(super) password: Password,
    /// Of one in the clear.
    verifier: OnceLock<Verifier>,
    /// Of one whose verifier is all that is known.
    keys: OnceLock<LoginKeys>,
}

impl Known {
    pub(super) fn new(password: Password) -> Arc<Self> {
        Arc::new(Self { password, verifier: OnceLock::new(), keys: OnceLock::new() })
    }

    /// What its role must prove, if it can; made once of a password in the clear.
    pub(super) async fn verifier(&self) -> Option<Verifier> {
        let password = match &self.password {
            Password::Scram(verifier) => return Some(verifier.clone()),
            Password::Plain(password) => password.clone(),
            Password::Md5(_) | Password::None => return None,
        };
        if let Some(verifier) = self.verifier.get() {
            return Some(verifier.clone());
        }
        let made = task::blocking(move || Verifier::generate(password.expose())).await;
        Some(self.verifier.get_or_init(|| made).clone())
    }

    /// Its role has proved itself by SCRAM.
    pub(super) fn proved(&self, keys: Option<LoginKeys>) {
        if let (Password::Scram(_), Some(keys)) = (&self.password, keys) {
            self.keys.get_or_init(|| keys);
        }
    }

    /// The keys that a login left, if one did.
    pub(super) fn keys(&self) -> Option<&LoginKeys> {
        self.keys.get()
    }

    /// The keys that a login left, if they are this verifier's.
    fn keys_of(&self, verifier: &Verifier) -> Option<LoginKeys> {
        let same = matches!(&self.password, Password::Scram(own) if own == verifier);
        self.keys.get().filter(|_| same).cloned()
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Users {
    list: RwLock<HashMap<String, Arc<Known>>>,
    /// Those that the list does not have, as the last login's question of a server was answered. By database, as clients
    /// call it, and role.
    looked_up: Mutex<HashMap<(String, String), Arc<Known>>>,
}

impl Users {
    /// The list is this, from now on. Of a role whose line is the same what is known stays.
    pub(super) fn list_is(&self, entries: &[Entry]) {
        let list = {
            let old = self.list.read();
            let known = |entry: &Entry| {
                let same = old.get(&entry.name).filter(|known| known.password == entry.password);
                same.cloned().unwrap_or_else(|| Known::new(entry.password.clone()))
            };
            entries.iter().map(|entry| (entry.name.clone(), known(entry))).collect()
        };
        *self.list.write() = list;
    }

    /// The list as it is.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let list = self.list.read();
        let entry = |(name, known): (&String, &Arc<Known>)| Entry {
            name: name.clone(),
            password: known.password.clone(),
        };
        list.iter().map(entry).collect()
    }

    /// What the list has for a role.
    pub(super) fn listed(&self, role: &str) -> Option<Arc<Known>> {
        self.list.read().get(role).cloned()
    }

    /// What a server has answered for a role of a database, along with what earlier logins by that have left.
    pub(super) fn found(&self, database: &str, role: &str, password: Password) -> Arc<Known> {
        let same = self.remembered(database, role).filter(|known| known.password == password);
        same.unwrap_or_else(|| Known::new(password))
    }

    /// A login has proved it.
    pub(super) fn remember(&self, database: &str, role: &str, known: Arc<Known>) {
        let (key, mut looked_up) = ((database.to_owned(), role.to_owned()), self.looked_up.lock());
        if looked_up.len() >= MAX_LOOKED_UP && !looked_up.contains_key(&key) {
            looked_up.clear();
        }
        looked_up.insert(key, known);
    }

    /// What was looked up and proved.
    pub(super) fn remembered(&self, database: &str, role: &str) -> Option<Arc<Known>> {
        self.looked_up.lock().get(&(database.to_owned(), role.to_owned())).cloned()
    }

    /// Forgets what was looked up for all other databases.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.looked_up.lock().retain(|(database, _), _| is_there(database));
    }

    /// The roles that were looked up.
    pub(super) fn looked_up(&self) -> Vec<String> {
        self.looked_up.lock().keys().map(|(_, role)| role.clone()).collect()
    }

    /// What a database's server is shown for a role: the entry's `own` password, or else what is known of the role.
    pub(super) fn for_server(&self, database: &str, role: &str, own: Option<Password>) -> ServerPassword {
        let known = self.listed(role).or_else(|| self.remembered(database, role));
        match own.or_else(|| known.as_ref().map(|known| known.password.clone())) {
            Some(Password::Plain(password)) => ServerPassword::Plain(password),
            Some(Password::Md5(stored)) => ServerPassword::Md5(stored),
            Some(Password::Scram(verifier)) => known
                .and_then(|known| known.keys_of(&verifier))
                .map_or(ServerPassword::Unknown, ServerPassword::Keys),
            Some(Password::None) | None => ServerPassword::Unknown,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use dormouse_base::Secret;
    use dormouse_pgwire::auth::scram::{Credential, client, server};
    use dormouse_pgwire::backend::AuthenticationSasl;

    use super::*;

    /// What a client's proof leaves.
    pub(in crate::upstream) fn keys(verifier: &Verifier, password: &str) -> LoginKeys {
        let mut client = client::Exchange::new(client::Password::plain(password), None);
        let mut server = server::Exchange::new(Credential::Known(verifier.clone()), None);
        let first = client.start(&AuthenticationSasl::new(server.mechanisms().iter().copied())).unwrap();
        let server::Reply::Continue(challenge) = server.begin(&first).unwrap() else { unreachable!() };
        server.respond(&client.respond(&challenge).unwrap()).unwrap();
        server.login_keys().unwrap()
    }

    fn plain(text: &str) -> Password {
        Password::Plain(Secret::new(text.to_owned()))
    }

    fn entry(password: Password) -> Vec<Entry> {
        vec![Entry { name: "anna".to_owned(), password }]
    }

    #[tokio::test]
    async fn a_login_that_a_reload_overtakes_leaves_nothing_to_the_new_password() {
        let users = Users::default();
        users.list_is(&entry(plain("old")));
        let began = users.listed("anna").unwrap();
        users.list_is(&entry(plain("new")));
        began.verifier().await.unwrap();
        let verifier = users.listed("anna").unwrap().verifier().await.unwrap();
        assert!(verifier.matches_password("new") && !verifier.matches_password("old"));
        // A line that stays the same keeps what was made of it.
        users.list_is(&entry(plain("new")));
        assert!(users.listed("anna").unwrap().verifier.get().is_some());
    }

    #[test]
    fn what_was_looked_up_is_its_databases_alone() {
        let users = Users::default();
        users.remember("a", "anna", users.found("a", "anna", plain("of a")));
        let shown = |database: &str, role: &str| users.for_server(database, role, None);
        assert!(matches!(shown("a", "anna"), ServerPassword::Plain(text) if text.expose() == "of a"));
        assert!(matches!(shown("b", "anna"), ServerPassword::Unknown));
        assert!(matches!(shown("a", "bert"), ServerPassword::Unknown));
        // Not proved yet.
        let found = users.found("a", "anna", plain("newer"));
        assert!(matches!(shown("a", "anna"), ServerPassword::Plain(text) if text.expose() == "of a"));
        users.remember("a", "anna", found);
        assert!(matches!(shown("a", "anna"), ServerPassword::Plain(text) if text.expose() == "newer"));
        users.list_is(&entry(plain("listed")));
        for database in ["a", "b"] {
            assert!(
                matches!(shown(database, "anna"), ServerPassword::Plain(text) if text.expose() == "listed")
            );
        }
        users.list_is(&[]);
        users.keep(|database| database != "a");
        assert!(matches!(shown("a", "anna"), ServerPassword::Unknown));
    }

    #[test]
    fn keys_are_good_where_their_verifier_is() {
        let users = Users::default();
        let (verifier, other) = (Verifier::derive("x", b"salt", 1), Verifier::derive("x", b"pepper", 1));
        let shown = |database: &str, own: Option<&Verifier>| {
            let own = own.map(|verifier| Password::Scram(verifier.clone()));
            matches!(users.for_server(database, "anna", own), ServerPassword::Keys(_))
        };
        let looked_up = users.found("a", "anna", Password::Scram(verifier.clone()));
        users.remember("a", "anna", Arc::clone(&looked_up));
        assert!(!shown("a", None));
        looked_up.proved(Some(keys(&verifier, "x")));
        assert!(shown("a", None) && shown("a", Some(&verifier)));
        assert!(!shown("b", None) && !shown("b", Some(&verifier)) && !shown("a", Some(&other)));
        // The next login finds them.
        users.remember("a", "anna", users.found("a", "anna", Password::Scram(verifier.clone())));
        assert!(shown("a", None));
        users.list_is(&entry(Password::Scram(verifier.clone())));
        users.listed("anna").unwrap().proved(Some(keys(&verifier, "x")));
        assert!(shown("b", None));
        users.list_is(&entry(Password::Scram(other)));
        assert!(!shown("a", None) && !shown("b", None));
    }

    #[test]
    fn no_more_roles_are_remembered_than_that() {
        let users = Users::default();
        for n in 0..=MAX_LOOKED_UP {
            users.remember("a", &n.to_string(), Known::new(Password::None));
            assert!(users.looked_up.lock().len() <= MAX_LOOKED_UP);
        }
    }
}
