//! Puts the main branch's endpoint to sleep, wakes it, and takes its local files away. A refusal is
//! fine: there may be work, or the server just died of a failpoint.

use super::super::site::{Refusal, Site};

fn order(site: &Site, action: &str) -> Result<(), Refusal> {
    let done = site.ask(&["endpoint", action, &site.project.endpoint]).map(drop);
    let result = match &done {
        Ok(()) => "done".to_owned(),
        Err(refusal) => format!("refused ({}): {}", refusal.status, first_line(&refusal.text)),
    };
    site.world.say("chaos", &format!("endpoint {action}: {result}"));
    done
}

pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// What was acknowledged before is in the store when this succeeded.
fn order_that_stores(site: &mut Site, action: &str) {
    let before = site.world.ledger.tick();
    if order(site, action).is_ok() && site.world.options.storage {
        site.stored = before;
    }
}

pub(super) fn suspend(site: &mut Site) {
    order_that_stores(site, "suspend");
}

pub(super) fn evict(site: &mut Site) {
    order_that_stores(site, "evict");
}

pub(super) fn wake(site: &Site) {
    let _refused = order(site, "wake");
}

pub(super) fn pause(site: &Site) {
    let _refused = order(site, "pause");
}
