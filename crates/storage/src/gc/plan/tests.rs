mod family;
pub(crate) mod world;
mod points;
