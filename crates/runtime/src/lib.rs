//! How a long-lived Dormouse process behaves, whatever its role.
//!
//! * [`task`]: the only door to `tokio::spawn`: every task has a name, and ends with its scope.
//! * [`shard`]: single-threaded executors for the data path.
//! * [`batch`]: threads that let who woke them finish first.
//! * [`sends`]: what a shard's tasks send in one turn, by one system call.
//! * [`gate`]: who is working with an endpoint right now, in one atomic word.
//! * [`shutdown`]: signals and deadlines.
//! * [`telemetry`]: logs and metrics.
//! * [`spread`]: where on the disk new directories are put.
//! * [`handoff`]: open files, from one process to the next.
//! * [`failpoint`]: named places where a test makes the process die, fail or wait.

pub mod batch;
pub mod failpoint;
pub mod gate;
pub mod handoff;
pub mod sends;
pub mod shard;
pub mod shutdown;
pub mod spread;
pub mod task;
pub mod telemetry;
