//! Which users computes will run as, and whether they get to their directories.

use std::path::Path;

use dormouse_compute::sandbox::identity::{ACCOUNT, Identities};

use super::{Finding, Level};
use crate::place;

pub(super) fn examine(data: &Path) -> Vec<Finding> {
    let identities = match Identities::detect(None, data) {
        Ok(identities) => identities,
        Err(error) => return vec![Finding::new("user", Level::Fail, error.to_string())],
    };
    let mut findings = vec![describe(identities)];
    if !matches!(identities, Identities::Own(_))
        && let Some((path, mode)) = data.ancestors().find(|dir| dir.exists()).and_then(place::blocked_by)
    {
        let what = format!("computes cannot pass through {} (mode {mode:03o})", path.display());
        let advice = format!("chmod o+x {}, or choose another --data", path.display());
        findings.push(Finding::new("user", Level::Fail, what).advice(advice));
    }
    findings
}

fn describe(identities: Identities) -> Finding {
    match identities {
        Identities::Range { .. } => {
            Finding::new("user", Level::Ok, "each compute runs as a user ID of its own, without any rights")
        }
        Identities::Shared(_) => {
            let what = format!("all computes run as `{ACCOUNT}`: this user namespace has too few user IDs");
            Finding::new("user", Level::Warn, what)
                .advice("run the server outside the container's user namespace")
        }
        Identities::Own(_) => {
            Finding::new("user", Level::Note, "computes run as you; Landlock keeps them apart")
                .advice("run the server as root to give each compute a user ID of its own")
        }
    }
}
