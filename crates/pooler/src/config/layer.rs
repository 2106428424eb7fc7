//! Overrides for a part of the pools.
//!
//! ```text
//!   global Settings  ◄── endpoint or database Layer  ◄── role Layer      the last that says something wins
//! ```
//!
//! A layer is checked when it is made, so that applying it cannot fail in the middle of a login.

use super::error::ConfigError;
use super::settings::Settings;
use super::table::{Scope, find};

/// Some settings that differ from the layer below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// In the order in which they were set; the names are those of the table.
    values: Vec<(&'static str, String)>,
}

impl Layer {
    /// Sets one. The names of `[databases]` and `[users]` (`pool_size`) work too.
    ///
    /// # Errors
    /// When there is no such setting, it holds for the whole pooler only, or the value does not fit.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let setting = find(name).ok_or_else(|| ConfigError::UnknownName(name.to_owned()))?;
        if setting.scope == Scope::Global {
            return Err(ConfigError::WrongPlace { name: setting.name, scope: setting.scope });
        }
        Settings::default().set(setting.name, value)?;
        self.unset(setting.name);
        self.values.push((setting.name, value.to_owned()));
        Ok(())
    }

    /// Takes one back, so that the layer below holds again.
    pub fn unset(&mut self, name: &str) {
        let name = find(name).map_or(name, |setting| setting.name);
        self.values.retain(|(known, _)| *known != name);
    }

    /// What is set.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// What this layer says about a setting, if anything.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = find(name)?.name;
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Settings {
    /// These settings with layers on top, the last one uppermost.
    #[must_use]
    pub fn with<'a>(&self, layers: impl IntoIterator<Item = &'a Layer>) -> Self {
        let mut settings = self.clone();
        for (name, value) in layers.into_iter().flat_map(Layer::iter) {
            settings.set(name, value).expect("a layer holds only what has been set once before");
        }
        settings
    }
}
