//! The way to the walsender of whatever run is open on a home, for the `stream` source.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_storage::wal::source::stream::{Connect, Duplex};

use super::home::Home;

/// After a wake, the client's first rows come first.
const AFTER_WAKE: Duration = Duration::from_millis(300);

/// See the module.
pub(super) struct Walsender(Weak<Home>);

impl Walsender {
    pub(super) fn of(home: &Arc<Home>) -> Self {
        Self(Arc::downgrade(home))
    }
}

#[async_trait]
impl Connect for Walsender {
    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        let run = self.0.upgrade().and_then(|home| home.run());
        let run = run.ok_or_else(|| io::Error::other("the compute does not run"))?;
        Ok(Box::new(run.socket().connect().await?))
    }

    async fn ready(&self) {
        let Some(home) = self.0.upgrade() else { return };
        if home.until_run().await {
            tokio::time::sleep(AFTER_WAKE).await;
        }
    }
}
