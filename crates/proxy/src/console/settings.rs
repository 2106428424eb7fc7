//! Settings that change while the pooler runs: checked, kept in the metadata, then applied to every pool.

use dormouse_pgwire::ClientError;
use dormouse_pooler::config::{self, ConfigError, Settings};

use crate::session::Shared;

/// One setting, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// PgBouncer's name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What it is when nobody sets it.
    pub default: &'static str,
    /// Whether it has an effect, or is only accepted.
    pub used: bool,
}

/// Settings that are not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// One cannot be set like this.
    #[error(transparent)]
    Setting(ConfigError),
    /// They cannot be kept.
    #[error("the settings cannot be kept: {}", .0.message)]
    Keep(ClientError),
}

/// All of them, by name.
pub(super) fn all(settings: &Settings, stands_in: bool) -> Vec<Setting> {
    let row = |(name, value, default, _)| Setting {
        name,
        value,
        default,
        used: config::find(name).is_some_and(|setting| setting.used),
    };
    config::shown(settings, stands_in).into_iter().map(row).collect()
}

/// Changes all or none.
pub(super) async fn change(shared: &Shared, changes: &[(String, Option<String>)]) -> Result<(), ChangeError> {
    let pools = &shared.pools;
    let _one_at_a_time = pools.changing.lock().await;
    let mut settings = (*pools.settings()).clone();
    let mut known = Vec::new();
    for (name, value) in changes {
        let found = config::find(name).ok_or_else(|| ConfigError::UnknownName(name.clone()));
        let found = found.map_err(ChangeError::Setting)?;
        let text = value.as_deref().unwrap_or_else(|| found.unset(shared.upstream.is_some()));
        settings.change(found.name, text).map_err(ChangeError::Setting)?;
        known.push((found.name, value.clone()));
    }
    shared.wake.keep_pool_settings(&known).await.map_err(ChangeError::Keep)?;
    pools.change(&settings);
    tracing::info!(changes = ?known, "settings of the pooler changed");
    Ok(())
}
