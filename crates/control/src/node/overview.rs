//! What this node holds, for people: read without waiting for anything that is under way.

use dormouse_base::{EndpointId, Lsn};
use dormouse_storage::key::FORMAT_VERSION;
use dormouse_storage::wal::filer::{Limits, Status};

use super::Node;
use super::home::{Held, Home};
use crate::vault::Overview;
use crate::vault::upkeep::{Captured, HeldBranch, Holding};

impl Node {
    /// The store, and every endpoint that has something here.
    pub(super) async fn look(&self) -> Overview {
        let mut endpoints: Vec<Holding> = self.homes().iter().filter_map(|home| holding(home)).collect();
        endpoints.sort_by(|a, b| a.endpoint.as_str().cmp(b.endpoint.as_str()));
        // Held while a template is built, which takes seconds.
        let templates = self.inner.templates.try_lock();
        let templates = templates.map(|known| known.values().map(|template| template.id.clone()).collect());
        let mut templates: Vec<String> = templates.unwrap_or_default();
        templates.sort_unstable();
        let store = &self.inner.store;
        Overview {
            url: store.url().to_owned(),
            format: FORMAT_VERSION,
            arbitrates: store.arbitrates(),
            templates,
            endpoints,
        }
    }
}

impl Node {
    /// How far the WAL of each writer here is in the store. What is held at the moment is left out.
    pub(super) fn filed_so_far(&self) -> Vec<(EndpointId, Lsn)> {
        let filed = |home: &Home| {
            let held = home.try_held()?;
            Some((home.endpoint.clone(), held.capture.as_ref()?.status().filed))
        };
        self.homes().iter().filter_map(|home| filed(home)).collect()
    }
}

/// `None` = there is nothing of it here.
fn holding(home: &Home) -> Option<Holding> {
    let endpoint = home.endpoint.clone();
    let Some(held) = home.try_held() else {
        return Some(Holding { endpoint, resident: None, capture: None, hydration: None });
    };
    let resident = held.resident.as_ref()?;
    let resident = HeldBranch {
        project: resident.project.clone(),
        branch: resident.branch.clone(),
        read_only: !resident.writes(),
        epoch: resident.epoch,
        snapshot: resident.base.as_ref().map(|_| resident.base_lsn),
    };
    let hydration = held.hydration.as_ref().filter(|hydration| !hydration.is_complete());
    let hydration = hydration.map(|hydration| hydration.progress()).map(|p| (p.chunks, p.absent));
    Some(Holding { endpoint, resident: Some(resident), capture: captured(&held), hydration })
}

fn captured(held: &Held) -> Option<Captured> {
    let status: Status = held.capture.as_ref()?.status();
    Some(Captured {
        filed: status.filed,
        lag_bytes: status.lag_bytes(),
        lag_seconds: status.lag_seconds(),
        alarm: status.alarm(&Limits::default()),
        problem: status.problem,
    })
}
