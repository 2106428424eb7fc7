//! What control asks of the pooler, as a trait of its own, the way [`crate::computes`] does it for computes; and
//! the settings of the pooler that are kept here.
//!
//! The pooler starts after the API, so it is attached when it is there.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use dormouse_api::pooler::{PoolerAnswer, PoolerLayer, PoolerSetting, UpdatePooler};
use dormouse_base::EndpointId;

use crate::control::Control;
use crate::db::{Db, DbError, endpoints, settings};
use crate::measure::Census;

/// Why the pooler does not do what was asked. Safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolerError {
    /// It is not right; this is what is wrong, and perhaps what to do.
    #[error("{message}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The change could not be kept. The cause was logged.
    #[error("the change cannot be kept")]
    NotKept,
}

/// The clients of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientLoad {
    /// Connections to its PostgreSQL that clients have or share.
    pub connections: u32,
    /// Clients that wait for one of a pool.
    pub waiting: u32,
}

/// The pooler.
#[async_trait::async_trait]
pub trait Pooler: Debug + Send + Sync + 'static {
    /// All its settings, by name.
    fn settings(&self) -> Vec<PoolerSetting>;

    /// What differs from them for some pools.
    fn layers(&self) -> Vec<PoolerLayer>;

    /// Clients, logins and waits of endpoints that have any; durations are those since the last call.
    fn census(&self) -> Vec<Census>;

    /// The clients of an endpoint at this moment.
    fn load(&self, endpoint: &EndpointId) -> ClientLoad;

    /// Changes settings, of all pools or of those that are named, all or none; `None` means the default.
    ///
    /// # Errors
    /// When one cannot be set like this, or they cannot be kept.
    async fn change(&self, wish: UpdatePooler) -> Result<(), PoolerError>;

    /// Runs a command of the console.
    ///
    /// # Errors
    /// When it is none, or is not done.
    async fn run(&self, command: &str) -> Result<PoolerAnswer, PoolerError>;
}

/// The place of the pooler, which comes later.
pub(crate) type Attached = Arc<OnceLock<Arc<dyn Pooler>>>;

impl Control {
    /// The pooler is there: the API can be asked about it. Only the first one counts.
    pub fn attach_pooler(&self, pooler: Arc<dyn Pooler>) {
        let _only_once = self.pooler.set(pooler);
    }

    /// Settings of the pooler that were changed, by name.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn pool_settings(&self) -> Result<BTreeMap<String, String>, DbError> {
        kept(&self.foundation.db)
    }

    /// Keeps changes of the pooler's settings; `None` forgets one.
    ///
    /// # Errors
    /// When the metadata cannot be written; then none is kept.
    pub async fn keep_pool_settings(&self, changes: &[(&str, Option<String>)]) -> Result<(), DbError> {
        let changes: Vec<_> =
            changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        keep(&self.foundation.db, changes).await
    }
}

impl Control {
    /// Settings of some pools.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn pool_layers(&self) -> Result<Vec<PoolerLayer>, DbError> {
        let read = |text: String| {
            serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::error!(%error, "the pools' own settings in the metadata cannot be read");
                Vec::new()
            })
        };
        let text = self
            .foundation
            .db
            .read("read the pools' settings", |db| settings::get(db, settings::POOL_LAYERS));
        Ok(text?.map(read).unwrap_or_default())
    }

    /// Keeps settings of some pools, in place of all that were kept. Those of endpoints that are gone are left out.
    ///
    /// # Errors
    /// When the metadata cannot be written; then nothing has changed.
    pub async fn keep_pool_layers(&self, mut layers: Vec<PoolerLayer>) -> Result<(), DbError> {
        self.foundation
            .db
            .write("keep the pools' settings", move |db| {
                let mut gone = Vec::new();
                for layer in &layers {
                    if let Some(id) = &layer.endpoint
                        && endpoints::get_by_text(db, id)?.is_none()
                    {
                        gone.push(id.clone());
                    }
                }
                layers.retain(|layer| layer.endpoint.as_ref().is_none_or(|id| !gone.contains(id)));
                let text = serde_json::to_string(&layers).expect("a list of texts is JSON");
                settings::put(db, settings::POOL_LAYERS, &text)
            })
            .await
    }
}

fn kept(db: &Db) -> Result<BTreeMap<String, String>, DbError> {
    let text = db.read("read the pooler's settings", |db| settings::get(db, settings::POOLER))?;
    Ok(text.map(|text| read(&text)).unwrap_or_default())
}

async fn keep(db: &Db, changes: Vec<(String, Option<String>)>) -> Result<(), DbError> {
    db.write("keep the pooler's settings", move |db| {
        let mut all = settings::get(db, settings::POOLER)?.map(|text| read(&text)).unwrap_or_default();
        for (name, value) in changes {
            match value {
                Some(value) => all.insert(name, value),
                None => all.remove(&name),
            };
        }
        let text = serde_json::to_string(&all).expect("a map of texts is JSON");
        settings::put(db, settings::POOLER, &text)
    })
    .await
}

fn read(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::error!(%error, "the pooler's settings in the metadata cannot be read; defaults hold");
        BTreeMap::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_add_up_and_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let change = |name: &str, value: Option<&str>| vec![(name.to_owned(), value.map(str::to_owned))];
        assert!(kept(&db).unwrap().is_empty());
        keep(&db, change("default_pool_size", Some("7"))).await.unwrap();
        keep(&db, change("query_timeout", Some("5"))).await.unwrap();
        keep(&db, change("default_pool_size", None)).await.unwrap();
        assert_eq!(kept(&db).unwrap(), BTreeMap::from([("query_timeout".to_owned(), "5".to_owned())]));
        db.write_now("break it", |db| settings::put(db, settings::POOLER, "{")).unwrap();
        assert!(kept(&db).unwrap().is_empty());
    }
}
