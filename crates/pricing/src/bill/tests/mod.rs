//! What a bill must be: [`by_hand`] on paper for every sheet, [`rules`] one by one on sheets made for them,
//! [`properties`] for every usage. A new rule of billing gets a test in `rules`, a field in the odd sheet of
//! `properties`; a new sheet a row in `by_hand`.

mod by_hand;
mod properties;
mod rules;
