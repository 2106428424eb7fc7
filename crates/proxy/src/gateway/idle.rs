//! Clients in this process that rest, for the next request of the same role to the same database.
//!
//! One is handed on only when its last request left nothing behind. When its text says that it may have, or a changed
//! parameter was reported, the session is made as new first ([`super::lease`]); where that fails it is closed, and
//! cleans up as for every client that leaves. A resting one has no backend; it costs a few kilobytes.

use std::collections::HashMap;
use std::time::Duration;

use dormouse_base::clock::Mono;
use parking_lot::Mutex;

use super::client::Client;

/// Resting clients, of all roles together.
pub(crate) const MAX_RESTING: usize = 512;

/// One that nobody wanted for so long is closed.
pub(crate) const RESTS_FOR: Duration = Duration::from_secs(60);

/// Who may use a client: endpoint, database, role and every startup parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place(pub(crate) Vec<u8>);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    resting: Mutex<Resting>,
}

#[derive(Debug, Default)]
struct Resting {
    /// The newest last.
    clients: HashMap<Place, Vec<(Mono, Client)>>,
    count: usize,
}

impl Idle {
    /// One that rests and lives.
    pub(crate) fn take(&self, place: &Place) -> Option<Client> {
        loop {
            let (_, mut client) = {
                let mut resting = self.resting.lock();
                let clients = resting.clients.get_mut(place)?;
                let taken = clients.pop();
                if clients.is_empty() {
                    resting.clients.remove(place);
                }
                let taken = taken?;
                resting.count -= 1;
                taken
            };
            if client.rests() {
                return Some(client);
            }
        }
    }

    /// Keeps one, if there is room.
    pub(crate) fn put(&self, place: &Place, client: Client) {
        let mut resting = self.resting.lock();
        if resting.count < MAX_RESTING {
            resting.count += 1;
            resting.clients.entry(place.clone()).or_default().push((Mono::now(), client));
        }
    }

    /// Closes those that nobody wanted.
    pub(crate) fn sweep(&self) {
        let mut resting = self.resting.lock();
        resting.clients.retain(|_, clients| {
            clients.retain(|(since, _)| since.elapsed() < RESTS_FOR);
            !clients.is_empty()
        });
        resting.count = resting.clients.values().map(Vec::len).sum();
    }
}
