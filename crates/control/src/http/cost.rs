//! `/cost`: what a month cost by each price sheet, what one would cost, and the sheets.

use axum::extract::State;
use axum::{Extension, Json};
use dormouse_api::cost::{Cost, CostQuery, Estimate, EstimateRequest, PriceSheets, ProjectCost};
use dormouse_api::usage::Query;
use dormouse_base::{Kind, clock};
use dormouse_pricing::{Money, Pricing, Sheet, Usage};

use super::error::Error;
use super::extract::{Asked, Body};
use crate::control::Control;
use crate::cost::{self as rules, Month};
use crate::db::cost as rows;
use crate::identity::Caller;

/// `GET /cost`.
pub(super) async fn get(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<CostQuery>,
) -> Result<Json<Cost>, Error> {
    let month = month(query.month.as_deref())?;
    let sheets = chosen(control.pricing(), query.sheet.as_deref())?;
    let asked = Query {
        from: Some(month.from),
        to: Some(month.to),
        project_id: query.project_id,
        ..Query::default()
    };
    let report = control.usage_for(&caller, asked).await?;
    let lives = control.lives(&report).await?;
    let seconds = month.seconds();
    let all = rules::usage(&report, &lives, seconds);
    let alone = rules::usages(&report, &lives, seconds);
    let projects = report.projects.iter().map(|project| ProjectCost {
        project_id: project.project_id.clone(),
        name: project.name.clone(),
        totals: project.totals,
        costs: costs(&sheets, alone.get(&project.project_id)),
    });
    Ok(Json(Cost {
        from: report.from,
        to: report.to,
        known_since: report.known_since,
        usage: report.totals,
        default_sheet: control.pricing().default_sheet().id.clone(),
        sheets: sheets.iter().map(|sheet| rules::told(sheet, sheet.bill(&all))).collect(),
        projects: projects.collect(),
        month: month.name,
    }))
}

/// `POST /cost/estimate`.
pub(super) async fn estimate(
    State(control): State<Control>,
    Body(asked): Body<EstimateRequest>,
) -> Result<Json<Estimate>, Error> {
    let sheets = chosen(control.pricing(), asked.sheet.as_deref())?;
    let estimate = dormouse_pricing::Estimate {
        hours_active: asked.hours_active,
        hours_in_month: asked.hours_in_month,
        average_cu: asked.average_cu,
        peak_cu: asked.peak_cu.unwrap_or(asked.average_cu),
        storage_gb: asked.storage_gb,
        history_gb: asked.history_gb,
        io_million: asked.io_million,
        egress_gb: asked.egress_gb,
        wakes: asked.wakes,
    };
    let usage =
        estimate.usage().map_err(|error| Error::new(Kind::Invalid, "bad-estimate", error.to_string()))?;
    Ok(Json(Estimate {
        default_sheet: control.pricing().default_sheet().id.clone(),
        sheets: sheets.iter().map(|sheet| rules::told(sheet, sheet.bill(&usage))).collect(),
    }))
}

/// `GET /cost/sheets`.
pub(super) async fn sheets(State(control): State<Control>) -> Json<PriceSheets> {
    let pricing = control.pricing();
    Json(PriceSheets {
        default_sheet: pricing.default_sheet().id.clone(),
        sheets: pricing.sheets().iter().map(rules::sheet).collect(),
    })
}

fn month(name: Option<&str>) -> Result<Month, Error> {
    let now = clock::now();
    let Some(name) = name else { return Ok(Month::of(now)) };
    let month = Month::named(name).ok_or_else(|| {
        Error::new(Kind::Invalid, "bad-query", "`month` must be a month such as `2026-11`".to_owned())
    })?;
    if month.from > now {
        return Err(Error::new(
            Kind::Invalid,
            "bad-query",
            format!("the month {} has not begun", month.name),
        ));
    }
    Ok(month)
}

fn chosen<'a>(pricing: &'a Pricing, id: Option<&str>) -> Result<Vec<&'a Sheet>, Error> {
    let Some(id) = id else { return Ok(pricing.sheets().iter().collect()) };
    pricing.find(id).map(|sheet| vec![sheet]).ok_or_else(|| {
        let all: Vec<&str> = pricing.sheets().iter().map(|sheet| sheet.id.as_str()).collect();
        Error::not_found("price sheet", "price-sheet-not-found", id)
            .hint(format!("there are: {}", all.join(", ")))
    })
}

fn costs(sheets: &[&Sheet], usage: Option<&Usage>) -> std::collections::BTreeMap<String, f64> {
    let total = |sheet: &&Sheet| {
        let total = usage.map_or(Money::ZERO, |usage| sheet.total(usage));
        (sheet.id.clone(), total.to_f64())
    };
    sheets.iter().map(total).collect()
}

impl Control {
    /// The price sheets of this server.
    #[must_use]
    pub fn pricing(&self) -> &Pricing {
        &self.foundation.config.pricing
    }

    async fn lives(
        &self,
        report: &dormouse_api::usage::Report,
    ) -> Result<std::collections::HashMap<dormouse_base::BranchId, rows::Life>, Error> {
        let (from, to, now) = (report.from, report.to, clock::now());
        let read = move |db: &rusqlite::Connection| rows::lives(db, from, to, now);
        Ok(self.foundation.db.survey("look how long branches existed", read).await?)
    }
}
