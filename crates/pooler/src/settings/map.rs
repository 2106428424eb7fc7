//! A small sorted map from setting to value that costs nothing when it is empty and a counter when it is cloned.
//!
//! Thousands of clients have the same few settings, and at each link two maps are compared: so clones share,
//! equal pointers are equal, and a fingerprint tells most others apart. Names are kept in small letters, because
//! PostgreSQL does not tell `TimeZone` from `timezone`.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// How many settings one session may have. Drivers set four or five.
pub const MAX_SETTINGS: usize = 128;

/// How many bytes names and values of one session may have together.
pub const MAX_BYTES: usize = 32 * 1024;

/// A setting that is not remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The session has [`MAX_SETTINGS`] already.
    #[error("a session through the pooler may have {MAX_SETTINGS} settings; reset some, or connect directly")]
    TooMany,
    /// Names and values are longer than [`MAX_BYTES`].
    #[error(
        "settings of a session through the pooler may have {MAX_BYTES} bytes together; reset some, or connect directly"
    )]
    TooLong,
    /// A name is missing, or there is a zero byte.
    #[error("a setting must have a name, and no zero byte in name or value")]
    Invalid,
}

/// Settings of a session: names in small letters, values as `set_config` takes them.
#[derive(Clone, Default)]
pub struct Settings(Option<Arc<Map>>);

#[derive(Debug, Clone, Default)]
struct Map {
    /// Sorted by name.
    entries: Vec<(Box<str>, Box<str>)>,
    bytes: usize,
    fingerprint: u64,
}

impl Settings {
    /// None at all; no allocation.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Gives a setting a value. Returns whether that changed anything.
    ///
    /// # Errors
    /// When it could not be replayed, or a limit is reached; nothing has changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, SettingsError> {
        if name.is_empty() || name.contains('\0') || value.contains('\0') {
            return Err(SettingsError::Invalid);
        }
        let name = small(name);
        let place = self.place(&name);
        let old =
            place.ok().and_then(|at| self.entries().get(at)).map(|(name, value)| (name.len(), &**value));
        if old.is_some_and(|(_, old)| old == value) {
            return Ok(false);
        }
        let freed = old.map_or(0, |(name, value)| name + value.len());
        let bytes = self.0.as_ref().map_or(0, |map| map.bytes) - freed + name.len() + value.len();
        if bytes > MAX_BYTES {
            return Err(SettingsError::TooLong);
        }
        if place.is_err() && self.len() == MAX_SETTINGS {
            return Err(SettingsError::TooMany);
        }
        let map = Arc::make_mut(self.0.get_or_insert_default());
        match place {
            Ok(at) => map.entries[at].1 = value.into(),
            Err(at) => map.entries.insert(at, (name.into(), value.into())),
        }
        map.bytes = bytes;
        map.seal();
        Ok(true)
    }

    /// Forgets a setting. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let Ok(at) = self.place(&small(name)) else { return false };
        if self.len() == 1 {
            self.clear();
            return true;
        }
        if let Some(map) = &mut self.0 {
            let map = Arc::make_mut(map);
            let (name, value) = map.entries.remove(at);
            map.bytes -= name.len() + value.len();
            map.seal();
        }
        true
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// The value of a setting.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.place(&small(name)).ok()?;
        self.entries().get(at).map(|(_, value)| &**value)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries().iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// The same for equal settings, and hardly ever for others.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.0.as_ref().map_or(0, |map| map.fingerprint)
    }

    fn entries(&self) -> &[(Box<str>, Box<str>)] {
        self.0.as_ref().map_or(&[], |map| &map.entries)
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.entries().binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl Map {
    fn seal(&mut self) {
        let mut hasher = DefaultHasher::new();
        self.entries.hash(&mut hasher);
        self.fingerprint = hasher.finish();
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                Arc::ptr_eq(a, b) || (a.fingerprint == b.fingerprint && a.entries == b.entries)
            }
            _ => false,
        }
    }
}

impl Eq for Settings {}

impl Hash for Settings {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint());
    }
}

/// Values stay out of logs: a custom setting may be a token.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// A name as it is kept.
pub(super) fn small(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}
