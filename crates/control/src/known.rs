//! What every login asks of the metadata, remembered for as long as the metadata does not change.
//!
//! A client that connects for each transaction asks where its endpoint is and whether its address may come in, a
//! thousand times a second, and the answer is always the same. So answers are kept together with the metadata's
//! generation ([`Db::generation`]), which each transaction ends; an answer of an older generation does not exist.
//! Errors are not kept: they are rare, and carry names.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_compute::spec::Mode;
use parking_lot::Mutex;

use crate::db::{Db, DbError};
use crate::locate::{self, Admission, LocateError, Located, Locator};

/// So many answers of each kind are kept; then all are forgotten.
const MAX_KEPT: usize = 4096;

/// The answers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    db: Db,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    generation: u64,
    places: HashMap<String, Located>,
    admissions: HashMap<EndpointId, Option<Arc<Admission>>>,
}

impl Known {
    pub(crate) fn new(db: Db) -> Self {
        Self { db, kept: Arc::default() }
    }

    /// Which endpoint a route means.
    pub(crate) fn locate(&self, place: &Locator<'_>) -> Result<Located, LocateError> {
        self.remember(|kept| &mut kept.places, &name(place), || locate::locate(&self.db, place))
    }

    /// Whether an address may connect to an endpoint. One that does not exist refuses nobody: that is another
    /// error.
    pub(crate) fn admits(&self, endpoint: &EndpointId, from: IpAddr) -> Result<bool, DbError> {
        Ok(self.admission(endpoint)?.is_none_or(|admission| admission.admits(from)))
    }

    /// Whether an endpoint reads only, or writes; `None` when there is no such endpoint.
    pub(crate) fn mode(&self, endpoint: &EndpointId) -> Result<Option<Mode>, DbError> {
        Ok(self.admission(endpoint)?.map(|admission| admission.mode))
    }

    fn admission(&self, endpoint: &EndpointId) -> Result<Option<Arc<Admission>>, DbError> {
        let ask = || Ok(locate::admission(&self.db, endpoint)?.map(Arc::new));
        self.remember(|kept| &mut kept.admissions, endpoint, ask)
    }

    fn remember<K: Clone + Eq + Hash, V: Clone, E>(
        &self,
        of: impl Fn(&mut Kept) -> &mut HashMap<K, V>,
        key: &K,
        ask: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        // Before the question: an answer may be newer than it says, never older.
        let generation = self.db.generation();
        {
            let mut kept = self.kept.lock();
            if kept.generation != generation {
                *kept = Kept { generation, ..Kept::default() };
            }
            if let Some(answer) = of(&mut kept).get(key) {
                return Ok(answer.clone());
            }
        }
        let answer = ask()?;
        let mut kept = self.kept.lock();
        if kept.generation == generation {
            let answers = of(&mut kept);
            if answers.len() == MAX_KEPT {
                answers.clear();
            }
            answers.insert(key.clone(), answer.clone());
        }
        Ok(answer)
    }
}

/// A route as a text that no other route has.
fn name(place: &Locator<'_>) -> String {
    match place {
        Locator::Default => String::new(),
        Locator::ByEndpoint(id) => format!("endpoint {id}"),
        // Neither may have this character.
        Locator::ByBranch { project: Some(project), branch } => format!("branch {project}\0{branch}"),
        Locator::ByBranch { project: None, branch } => format!("branch of the default {branch}"),
    }
}
