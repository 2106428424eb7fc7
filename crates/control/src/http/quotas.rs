//! `/quotas`: how much a project may use, how much it has used, and what follows.

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::quota::{Measure, Quota, Quotas, SetQuotas};
use dormouse_base::{ProjectId, clock};

use super::error::Error;
use super::extract::Body;
use crate::control::Control;
use crate::db::{projects, quotas};
use crate::metering::quota::Assessment;
use crate::model::quota::Plan;

/// `GET /projects/{project_id}/quotas`.
pub(super) async fn get(
    State(control): State<Control>,
    Path(project): Path<String>,
) -> Result<Json<Quotas>, Error> {
    let project = control.project(&project)?;
    let plan = project.settings.quotas;
    let guard = control.foundation.keeper.guard().clone();
    let (asked, now) = (plan.clone(), clock::now());
    let assess = move |db: &rusqlite::Connection| guard.assess(db, &project.id, &asked, now);
    let assessment = control.foundation.db.survey("look at the quotas", assess).await?;
    Ok(Json(told(&plan, &assessment)))
}

/// `PUT /projects/{project_id}/quotas`.
pub(super) async fn set(
    State(control): State<Control>,
    Path(project): Path<String>,
    Body(wish): Body<SetQuotas>,
) -> Result<Json<Quotas>, Error> {
    let id = control.project(&project)?.id;
    let plan = Plan::of(wish)?;
    let (changed, wanted) = (id.clone(), plan.clone());
    let found = control.foundation.db.write("set the quotas of a project", move |db| {
        let Some(row) = projects::get(db, &changed)?.filter(|row| !row.deleting) else { return Ok(false) };
        let mut settings = row.settings;
        settings.quotas = wanted;
        projects::update(db, &changed, &row.name, &settings, clock::now())?;
        Ok(true)
    });
    if !found.await? {
        return Err(Error::not_found("project", "project-not-found", id.as_str()));
    }
    control.foundation.keeper.signals().mirror.notify_one();
    let assessment = control.judge(&id, &plan).await?;
    Ok(Json(told(&plan, &assessment)))
}

fn told(plan: &Plan, assessment: &Assessment) -> Quotas {
    let one = |standing: &crate::metering::quota::Standing| Quota {
        measure: standing.limit.measure,
        limit: standing.limit.limit,
        soft_percent: standing.limit.soft_percent,
        action: standing.limit.action,
        used: standing.used,
        state: standing.state,
        // What is stored does not begin anew.
        resets_at: assessment.resets_at.filter(|_| standing.limit.measure != Measure::StorageBytes),
    };
    Quotas { period: plan.period, quotas: assessment.standings.iter().map(one).collect() }
}

impl Control {
    /// The limits of a project are others now: who was kept out because of them may come in at once, and the other
    /// way round.
    pub(super) async fn judge(&self, project: &ProjectId, plan: &Plan) -> Result<Assessment, Error> {
        let guard = self.foundation.keeper.guard().clone();
        let (id, wanted, now) = (project.clone(), plan.clone(), clock::now());
        let assessed = self.foundation.db.write("look at the quotas", move |db| {
            quotas::keep_only(db, &id, &wanted)?;
            guard.assess(db, &id, &wanted, now)
        });
        let assessment = assessed.await?;
        self.foundation.keeper.guard().note(&assessment);
        // The heartbeat tells the rest.
        self.foundation.keeper.meter().nudge();
        Ok(assessment)
    }
}
