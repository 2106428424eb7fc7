//! When something is worth telling: rules, and the state of each of their subjects. Pure: who asks for figures, keeps
//! states and tells webhooks is control's reconciler `alerts`.
//!
//! [`state`] is the transition function with its diagram, [`defaults`] the rules that come with a server, [`rule`] what
//! a rule may be.

pub mod rule;
pub mod state;
pub mod defaults;

pub use defaults::defaults;
pub use rule::BadRule;
pub use state::{Thresholds, Tracked, step};
