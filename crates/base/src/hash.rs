//! Maps on the path of a login, where the standard library's hash is a tenth of what a login costs.
//!
//! SipHash is made for keys that an attacker chooses freely. The keys of these maps are made here, or name what exists
//! (an endpoint, a pool, a role that has proved itself), and their number has a limit; they are hashed by foldhash,
//! seeded anew in each process. What strangers choose keeps the standard map.

use std::collections::HashMap;

/// A map whose keys no stranger chooses.
pub type QuickMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
