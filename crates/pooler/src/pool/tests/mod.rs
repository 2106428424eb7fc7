//! The books against a model that keeps lists of names (`model`), single rules by example, and fairness under
//! shared caps (`fair`).

mod example;
mod fair;
mod model;
