//! Maps on the path of a login, of whose instructions the standard library's hash took nearly a tenth.
//!
//! SipHash is made for keys that an attacker chooses freely and in numbers. foldhash, seeded anew in each process, is
//! not. So it is for keys that are made here, and for those that a client names after its login where their number is
//! bounded by that of clients, or swept: whoever found names that collide would make a lookup among some thousand
//! entries as slow as a search. What can be sent without a login (addresses, roles that are tried) keeps the standard
//! map.

use std::collections::HashMap;

/// A map whose keys nobody chooses who has not logged in.
pub type QuickMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
