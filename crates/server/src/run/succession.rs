//! Another server takes over: everything that writes ends, the lock goes over, and this one ends; or it comes to nothing,
//! and this one goes on with control opened anew. The messages between the two are in [`crate::takeover`].

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::fleet::Standstill;
use dormouse_control::Node;
use dormouse_runtime::shutdown::Signals;
use dormouse_runtime::task::Scope;
use dormouse_runtime::telemetry::Metrics;

use super::{Lasting, Server, adopt};
use crate::error::ServerError;
use crate::takeover::give::{Given, Wish};

/// Before a takeover whatever still runs may take so long to end; else this server goes on.
const QUIET_WITHIN: Duration = Duration::from_secs(10);

/// Before a takeover requests over HTTP may take so long; new ones wait in line.
const REQUESTS_WITHIN: Duration = Duration::from_secs(15);

/// The same for what accepts PostgreSQL clients.
const DOOR_WITHIN: Duration = Duration::from_secs(3);

/// Before a takeover WAL is filed for so long; the new server files the rest. New connections wait meanwhile.
const FILE_WITHIN: Duration = Duration::from_millis(500);

impl Server {
    /// Another server is ready to take over. `None`: it has. Else this one goes on.
    pub(super) async fn hand_over(
        self,
        wish: Wish,
        signals: &mut Signals,
    ) -> Result<Option<Self>, ServerError> {
        let start = Mono::now();
        let Self { lasting, http, door, node, work, .. } = self;
        let still = lasting.quiet(&wish, (&http, &door), &node, &work).await;
        let why = match still.refused {
            Some(why) => why,
            None => match wish.give(lasting.place.lock().ok_or(ServerError::NoLock)?, lasting.busy()).await {
                Given::Away => {
                    let pause_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(pause_ms, "another server serves; clients go there");
                    let successor = wish.successor();
                    lasting.wake.hand_over(Arc::clone(&successor));
                    wish.empty(&lasting.proxy, &successor, signals).await;
                    return Ok(None);
                }
                Given::Back(why) => why,
            },
        };
        tracing::warn!(why, "no takeover; this server goes on");
        lasting.resume(still.computes).await.map(Some)
    }
}

/// Nothing is done here any more, and nothing moves.
struct Still {
    /// It lasts for as long as this server if another one has the computes.
    computes: Standstill,
    /// It took too long, and the new server was told so.
    refused: Option<&'static str>,
}

impl Lasting {
    /// Ends everything that writes, and leaves clients and computes as they are. What does not end in time refuses the
    /// takeover, but it is waited for all the same: a second one of it must not be started. The door closes last.
    async fn quiet(&self, wish: &Wish, doors: (&Scope, &Scope), node: &Node, work: &Scope) -> Still {
        let (http, door) = doors;
        let mut refused = None;
        // Requests may be statements that take their time; clients of PostgreSQL get in meanwhile.
        if !http.close(REQUESTS_WITHIN).await {
            refused = Some(wish.refuse("a request over HTTP takes too long").await);
        }
        while !work.close(QUIET_WITHIN).await {
            refused = Some(wish.refuse("an operation is under way, and cannot stop where it is").await);
        }
        let computes = loop {
            match self.fleet.hold(QUIET_WITHIN).await {
                Some(computes) => break computes,
                None => refused = Some(wish.refuse("an endpoint is starting or stopping").await),
            }
        };
        // From here on new connections wait in line.
        if refused.is_none() && !door.close(DOOR_WITHIN).await {
            refused = Some(wish.refuse("a connection that was being accepted does not come through").await);
        }
        while !node.close(FILE_WITHIN).await {
            refused = Some(wish.refuse("something is being done with a directory").await);
        }
        if refused.is_some() {
            // It is opened anew, with everything else. A request that still runs ends when it can.
            let _some_stay = door.close(DOOR_WITHIN).await;
        }
        self.host.replace(None);
        Still { computes, refused }
    }

    /// Endpoints that clients work with at the moment.
    fn busy(&self) -> Vec<String> {
        let endpoints = self.fleet.all();
        let busy = endpoints.iter().filter(|endpoint| endpoint.gate().look().inside() > 0);
        busy.map(|endpoint| endpoint.id().to_string()).collect()
    }

    /// There is no successor: control is opened anew, for the clients and computes that are still there.
    async fn resume(self, computes: Standstill) -> Result<Server, ServerError> {
        let metrics = Arc::new(Metrics::default());
        let foundation = self.prepared.foundation(&self.config, &self.place).await?;
        let node = foundation.node();
        self.host.replace(Some(Arc::new(foundation.keeper())));
        computes.end();
        let (door, work) = (Scope::new(), Scope::new());
        let control = adopt(&self.fleet, foundation, &work).await?;
        self.wake.renew(control.clone());
        let (server, told) = self.serve(control, node, (door, work), metrics).await?;
        server.accept(&told)
    }
}
