pub(crate) mod lab;
pub(crate) mod trap;
mod crashes;
mod rewriting;
mod sweeping;
