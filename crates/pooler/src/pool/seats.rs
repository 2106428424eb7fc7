//! How many clients may be connected: in all, to a database, with a role.

use std::hash::Hash;

use dormouse_base::hash::QuickMap;

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limit of {limit} clients is reached")]
pub struct Full<K> {
    /// Whose limit: what the caller named it.
    pub key: K,
    /// The limit.
    pub limit: u32,
}

/// Clients by what their number is limited for: `K` names the pooler, a database or a role.
#[derive(Debug)]
pub struct Seats<K> {
    taken: QuickMap<K, u32>,
}

impl<K> Default for Seats<K> {
    fn default() -> Self {
        Self { taken: QuickMap::default() }
    }
}

impl<K: Clone + Eq + Hash> Seats<K> {
    /// Seats a client at all of these, or at none. A limit of zero is no limit, but it is counted.
    ///
    /// # Errors
    /// Names the first limit that is reached.
    pub fn enter<const N: usize>(&mut self, at: &[K; N], limits: [u32; N]) -> Result<(), Full<K>> {
        for (key, limit) in at.iter().zip(limits) {
            if limit > 0 && self.taken(key) >= limit {
                return Err(Full { key: key.clone(), limit });
            }
        }
        for key in at {
            match self.taken.get_mut(key) {
                Some(taken) => *taken += 1,
                None => drop(self.taken.insert(key.clone(), 1)),
            }
        }
        Ok(())
    }

    /// A client leaves all of these.
    pub fn leave<'a>(&mut self, at: impl IntoIterator<Item = &'a K>)
    where
        K: 'a,
    {
        for key in at {
            if let Some(taken) = self.taken.get_mut(key) {
                *taken -= 1;
                if *taken == 0 {
                    self.taken.remove(key);
                }
            }
        }
    }

    /// How many are there.
    #[must_use]
    pub fn taken(&self, key: &K) -> u32 {
        self.taken.get(key).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none() {
        let mut seats = Seats::default();
        for _ in 0..3 {
            seats.enter(&["all", "db"], [5, 3]).unwrap();
        }
        assert_eq!(seats.enter(&["all", "db"], [5, 3]), Err(Full { key: "db", limit: 3 }));
        assert_eq!((seats.taken(&"all"), seats.taken(&"db")), (3, 3));
        seats.enter(&["all", "other"], [5, 0]).unwrap();
        seats.leave([&"all", &"db"]);
        assert_eq!(seats.enter(&["all", "db"], [5, 3]), Ok(()));
        assert_eq!(seats.enter(&["all", "other"], [5, 0]), Ok(()));
        assert_eq!(seats.enter(&["all", "other"], [5, 0]), Err(Full { key: "all", limit: 5 }));
    }
}
