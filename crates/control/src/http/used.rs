//! What projects and branches used in the month that runs, for replies that show them.

use std::collections::HashMap;

use dormouse_api::usage::Granularity;
use dormouse_api::used::{ProjectUsed, Used};
use dormouse_base::{ProjectId, Timestamp, clock};

use super::error::Error;
use crate::control::Control;
use crate::cost::Month as Calendar;
use crate::db::usage::{self, Month};
use crate::metering::report::floor;
use crate::model::quota::resets_at;
use crate::model::record::{Branch, Project};

/// When the month that runs began.
pub(super) fn this_month() -> Timestamp {
    floor(clock::now(), Granularity::Month)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and far below 2^63"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

/// In Neon's words.
pub(super) fn told(used: &usage::Used) -> Used {
    Used {
        active_time_seconds: whole(used.totals.active_seconds),
        compute_time_seconds: whole(used.totals.cu_seconds),
        cpu_used_sec: whole(used.totals.cu_seconds),
        written_data_bytes: used.written,
        data_transfer_bytes: used.totals.egress_bytes,
    }
}

/// A project's month in Neon's words.
pub(super) fn of_project(row: &Project, month: &Month) -> ProjectUsed {
    let now = clock::now();
    let calendar = Calendar::of(now);
    ProjectUsed {
        used: told(&month.used),
        data_storage_bytes_hour: whole(month.used.totals.storage_byte_hours),
        synthetic_storage_size: month.stored.map(|(data, past)| data.saturating_add(past)),
        consumption_period_start: calendar.from,
        consumption_period_end: calendar.to,
        quota_reset_at: resets_at(row.settings.quotas.period, now),
        compute_last_active_at: month.last_active,
    }
}

impl Control {
    /// The months of all projects, away from the executor's threads.
    pub(super) async fn months(&self) -> Result<HashMap<ProjectId, Month>, Error> {
        let read = |db: &rusqlite::Connection| usage::of_projects(db, this_month(), None);
        Ok(self.foundation.db.survey("add up what was used", read).await?)
    }

    /// The month of one project.
    pub(super) fn month_of(&self, project: &ProjectId) -> Result<Month, Error> {
        let read = |db: &rusqlite::Connection| usage::of_projects(db, this_month(), Some(project));
        let mut found = self.foundation.db.read("add up what was used", read)?;
        Ok(found.remove(project).unwrap_or_default())
    }

    /// What a branch used in this month.
    pub(super) fn used_by(&self, branch: &Branch) -> Result<Used, Error> {
        let read = |db: &rusqlite::Connection| usage::of_branch(db, this_month(), &branch.id);
        Ok(told(&self.foundation.db.read("add up what was used", read)?))
    }
}
