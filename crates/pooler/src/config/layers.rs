//! Layers by the pools that they are for.
//!
//! ```text
//!   global Settings ◄── endpoint ◄── database ◄── role ◄── database of an endpoint ◄── … ◄── all three
//! ```
//!
//! Whoever names more of a pool wins; of two that name as much, the role is nearer to the client than the database,
//! and that than the endpoint.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::layer::Layer;
use super::table::find;

/// How many places may have a layer: each login to a new pool looks at all.
pub const MAX_LAYERS: usize = 1000;

/// Which pools a layer is for: those that have all that is named here.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Of this endpoint.
    pub endpoint: Option<String>,
    /// For this database.
    pub database: Option<String>,
    /// As this role.
    pub role: Option<String>,
}

impl Place {
    /// Whether it names nothing: then it means all pools, and is no layer's place.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        *self == Self::default()
    }

    fn means(&self, endpoint: &str, database: &str, role: &str) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.endpoint, endpoint) && is(&self.database, database) && is(&self.role, role)
    }

    /// How near it is to one pool.
    fn weight(&self) -> (usize, bool, bool) {
        let named = [self.endpoint.is_some(), self.database.is_some(), self.role.is_some()];
        (named.iter().filter(|named| **named).count(), self.role.is_some(), self.database.is_some())
    }
}

/// All layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers(BTreeMap<Place, Layer>);

impl Layers {
    /// Changes settings of a place, all or none; `None` takes one back.
    ///
    /// # Errors
    /// As [`Layer::set`], or when there are [`MAX_LAYERS`].
    pub fn change<'a>(
        &mut self,
        place: &Place,
        changes: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<(), ConfigError> {
        let mut layer = self.0.get(place).cloned().unwrap_or_default();
        for (name, value) in changes {
            match value {
                Some(value) => layer.set(name, value)?,
                None => {
                    let known = find(name).ok_or_else(|| ConfigError::UnknownName(name.to_owned()))?;
                    layer.unset(known.name);
                }
            }
        }
        if layer.is_empty() {
            self.0.remove(place);
        } else if self.0.len() < MAX_LAYERS || self.0.contains_key(place) {
            self.0.insert(place.clone(), layer);
        } else {
            return Err(ConfigError::TooManyLayers(MAX_LAYERS));
        }
        Ok(())
    }

    /// The layers of one pool, the last one uppermost.
    pub fn of(&self, endpoint: &str, database: &str, role: &str) -> impl Iterator<Item = &Layer> {
        let mut found: Vec<_> =
            self.0.iter().filter(|(place, _)| place.means(endpoint, database, role)).collect();
        found.sort_by_key(|(place, _)| place.weight());
        found.into_iter().map(|(_, layer)| layer)
    }

    /// All of them, by place.
    pub fn iter(&self) -> impl Iterator<Item = (&Place, &Layer)> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn place(endpoint: &str, database: &str, role: &str) -> Place {
        let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Place { endpoint: named(endpoint), database: named(database), role: named(role) }
    }

    #[test]
    fn who_names_more_wins() {
        let mut layers = Layers::default();
        let places =
            [("ep", "", ""), ("", "app", ""), ("", "", "anna"), ("ep", "app", ""), ("ep", "app", "anna")];
        for (size, (endpoint, database, role)) in (1..).zip(places) {
            let size = u32::to_string(&size);
            layers.change(&place(endpoint, database, role), [("pool_size", Some(size.as_str()))]).unwrap();
        }
        let size = |endpoint, database, role| {
            Settings::default().with(layers.of(endpoint, database, role)).default_pool_size
        };
        assert_eq!(size("other", "other", "other"), Settings::default().default_pool_size);
        assert_eq!((size("ep", "x", "x"), size("x", "app", "x"), size("x", "app", "anna")), (1, 2, 3));
        assert_eq!((size("ep", "app", "ben"), size("ep", "app", "anna"), size("ep", "x", "anna")), (4, 5, 3));
    }

    #[test]
    fn all_or_none_and_nothing_stays_behind() {
        let (mut layers, anna) = (Layers::default(), place("", "", "anna"));
        let mut change = |changes: &[(&str, Option<&str>)]| layers.change(&anna, changes.iter().copied());
        assert!(
            change(&[("query_timeout", Some("5")), ("max_client_conn", Some("5"))]).is_err(),
            "not a pool's"
        );
        assert!(change(&[("query_timeout", Some("5")), ("nonsense", None)]).is_err());
        change(&[("query_timeout", Some("5"))]).unwrap();
        change(&[("query_timeout", None)]).unwrap();
        assert!(layers.is_empty());
    }
}
