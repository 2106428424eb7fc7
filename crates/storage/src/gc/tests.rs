pub(crate) mod lab;
mod crashes;
mod rewriting;
mod sweeping;
