//! What the files say, and what is known of roles besides.
//!
//! A reload makes a new [`State`]; what did not change in it (entries that lead where they led, and with them their
//! connections; keys of roles whose line is the same) is kept.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_pgwire::auth::scram::{LoginKeys, Verifier};
use dormouse_pooler::config::userlist::{Entry, Password};
use parking_lot::{Mutex, RwLock};

use super::Plan;
use super::encryption::Encryption;
use super::target::{self, Target, Targets};

/// Roles whose passwords were looked up that are remembered.
const MAX_LOOKED_UP: usize = 10_000;

/// What the files say now.
pub(super) struct State {
    pub(super) plan: Plan,
    pub(super) encryption: Encryption,
    pub(super) targets: HashMap<EndpointId, Targets>,
    /// The IDs of entries by their names: each login asks, and to make one takes a hash.
    ids: HashMap<String, EndpointId>,
    /// The number of this process among its peers; 0: it has none.
    pub(super) peer_id: u32,
}

impl State {
    pub(super) fn new(
        mut plan: Plan,
        encryption: Encryption,
        known: &HashMap<EndpointId, Targets>,
        users: &Arc<Users>,
    ) -> Self {
        if plan.lists.users_unread {
            let old = users.list.read();
            let entry = |(name, password): (&String, &Password)| Entry {
                name: name.clone(),
                password: password.clone(),
            };
            plan.lists.users = old.iter().map(entry).collect();
        }
        let list: HashMap<_, _> =
            plan.lists.users.iter().map(|user| (user.name.clone(), user.password.clone())).collect();
        {
            let old = users.list.read();
            users.keys.lock().retain(|name, _| old.get(name) == list.get(name));
        }
        *users.list.write() = list;
        users.verifiers.lock().clear();
        let (mut targets, mut ids) = (HashMap::new(), HashMap::new());
        for entry in &plan.ini.databases {
            let id = target::id(&entry.name);
            ids.insert(entry.name.clone(), id.clone());
            let made = Targets::new(entry, &plan, &encryption, users);
            let kept = known.get(&id).filter(|known| known.is_same(&made)).map(|known| known.renewed(&made));
            targets.insert(id, kept.unwrap_or(made));
        }
        let peer_id = plan.number("peer_id");
        Self { plan, encryption, targets, ids, peer_id }
    }

    /// The ID of an entry.
    pub(super) fn id(&self, entry: &str) -> EndpointId {
        self.ids.get(entry).cloned().unwrap_or_else(|| target::id(entry))
    }

    /// The servers of all entries.
    pub(super) fn all(&self) -> impl Iterator<Item = &Target> {
        self.targets.values().flat_map(Targets::all).map(|target| &**target)
    }
}

/// The roles, and what their logins leave.
#[derive(Default)]
pub(super) struct Users {
    pub(super) list: RwLock<HashMap<String, Password>>,
    /// Those that the list does not have, as the last login's question of a server was answered.
    pub(super) looked_up: Mutex<HashMap<String, Password>>,
    /// Of roles whose verifier is all that is known. At most one for each.
    pub(super) keys: Mutex<HashMap<String, LoginKeys>>,
    /// Of roles whose password the list has in the clear.
    pub(super) verifiers: Mutex<HashMap<String, Verifier>>,
}

impl Users {
    /// What is known of a role's password.
    pub(super) fn password(&self, role: &str) -> Option<Password> {
        let listed = self.list.read().get(role).cloned();
        listed.or_else(|| self.looked_up.lock().get(role).cloned())
    }

    pub(super) fn remember(&self, role: &str, password: &Password) {
        let mut known = self.looked_up.lock();
        if known.get(role) != Some(password) {
            if known.len() >= MAX_LOOKED_UP {
                known.clear();
            }
            self.keys.lock().remove(role);
            known.insert(role.to_owned(), password.clone());
        }
    }
}
