//! What the files say.
//!
//! A reload makes a new [`State`]; what did not change in it (entries that lead where they led, and with them their
//! connections; what is known of roles whose line is the same) is kept.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_base::EndpointId;

use super::Plan;
use super::encryption::Encryption;
use super::target::{self, Target, Targets};
use super::users::Users;

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
            plan.lists.users = users.entries();
        }
        users.list_is(&plan.lists.users);
        users.keep(|database| plan.ini.database(database).is_some());
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
