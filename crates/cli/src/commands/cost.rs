//! `dormouse cost`: what real usage costs by price sheets, and what a month would cost.

use dormouse_api::client;
use dormouse_api::cost::{Cost as Reply, CostQuery, EstimateRequest, PriceSheets, SheetCost};

use super::Context;
use crate::args::name;
use crate::error::Error;
use crate::ui::{Format, Table, time};

/// Show what a month's usage would have cost elsewhere, and what sleeping saved
///
/// Usage comes from the ledger (`dormouse usage`), prices from dated sheets: those that come with Dormouse, and
/// your own. Without --sheet every sheet is a row; with it, its bill is shown line by line.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cost {
    #[command(subcommand)]
    what: Option<What>,

    /// The month (UTC), such as 2026-11 [default: this month].
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<String>,

    /// Only this project, by ID or name [default: all].
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    project: Option<String>,

    /// Only this price sheet, by ID: `dormouse cost sheets` lists them.
    #[arg(long, value_name = "SHEET")]
    sheet: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Estimate(Estimate),
    Sheets(Sheets),
}

/// Show what a month of one database would cost
#[derive(Debug, clap::Args)]
struct Estimate {
    /// Hours of the month with work in them.
    #[arg(long, value_name = "HOURS")]
    hours: f64,

    /// Hours of the month.
    #[arg(long, value_name = "HOURS", default_value_t = 730.0)]
    hours_in_month: f64,

    /// The mean size while active, CU (1 CU = 1 vCPU, 4 GiB).
    #[arg(long, value_name = "CU")]
    cu: f64,

    /// The largest size, CU: providers of fixed sizes are asked for this one [default: --cu].
    #[arg(long, value_name = "CU")]
    peak_cu: Option<f64>,

    /// Data, GB (10⁹ bytes).
    #[arg(long, value_name = "GB", default_value_t = 0.0)]
    storage: f64,

    /// History for restores, GB.
    #[arg(long, value_name = "GB", default_value_t = 0.0)]
    history: f64,

    /// Reads and writes of storage, millions.
    #[arg(long, value_name = "MILLION", default_value_t = 0.0)]
    io: f64,

    /// Sent to clients, GB.
    #[arg(long, value_name = "GB", default_value_t = 0.0)]
    egress: f64,

    /// How often it wakes: some providers bill a minimum each time.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    wakes: u64,

    /// Only this price sheet, by ID.
    #[arg(long, value_name = "SHEET")]
    sheet: Option<String>,
}

/// List the price sheets, with their dates and sources
#[derive(Debug, clap::Args)]
struct Sheets {
    /// Show every price of this sheet, by ID.
    #[arg(long, value_name = "SHEET")]
    sheet: Option<String>,
}

pub(crate) async fn run(args: Cost, cx: &Context) -> Result<(), Error> {
    match args.what {
        None => month(args, cx).await,
        Some(What::Estimate(estimate)) => estimated(estimate, cx).await,
        Some(What::Sheets(sheets)) => listed(sheets, cx).await,
    }
}

async fn month(args: Cost, cx: &Context) -> Result<(), Error> {
    let in_detail = args.sheet.is_some();
    let query = CostQuery { month: args.month, project_id: args.project, sheet: args.sheet };
    let cost = cx.session()?.call(client::cost::get(&query)).await?;
    if cx.ui.format() == Format::Json {
        return cx.ui.show(&cost, |_| Table::list(&[]));
    }
    cx.ui.note(&period(&cost));
    bills(cx, &cost.sheets, in_detail)?;
    if in_detail && cost.projects.len() > 1 {
        cx.ui.text("")?;
        cx.ui.text(&projects(&cost).to_string())?;
    }
    Ok(())
}

async fn estimated(args: Estimate, cx: &Context) -> Result<(), Error> {
    let in_detail = args.sheet.is_some();
    let month = EstimateRequest {
        hours_active: args.hours,
        hours_in_month: args.hours_in_month,
        average_cu: args.cu,
        peak_cu: args.peak_cu,
        storage_gb: args.storage,
        history_gb: args.history,
        io_million: args.io,
        egress_gb: args.egress,
        wakes: args.wakes,
        sheet: args.sheet,
    };
    let estimate = cx.session()?.call(client::cost::estimate(&month)).await?;
    if cx.ui.format() == Format::Json {
        return cx.ui.show(&estimate, |_| Table::list(&[]));
    }
    bills(cx, &estimate.sheets, in_detail)
}

async fn listed(args: Sheets, cx: &Context) -> Result<(), Error> {
    let mut all = cx.session()?.call(client::cost::sheets()).await?;
    if let Some(id) = &args.sheet {
        all.sheets.retain(|sheet| sheet.id == *id);
        if all.sheets.is_empty() {
            return Err(Error::not_found(format!("there is no price sheet `{id}`"))
                .hint("`dormouse cost sheets` lists them"));
        }
    }
    cx.ui.show(&all, |all| if args.sheet.is_some() { prices(all) } else { sheets(all) })?;
    if let (Some(_), Format::Table, Some(sheet)) = (&args.sheet, cx.ui.format(), all.sheets.first()) {
        cx.ui.note(&format!(
            "{}, {}, prices of {}: {}",
            sheet.provider, sheet.plan, sheet.dated, sheet.source
        ));
        noted(cx, &sheet.notes);
    }
    Ok(())
}

/// All sheets as rows, or the one that was asked for line by line.
fn bills(cx: &Context, sheets: &[SheetCost], in_detail: bool) -> Result<(), Error> {
    let Some(sheet) = sheets.first().filter(|_| in_detail) else {
        cx.ui.text(&totals(sheets).to_string())?;
        cx.ui.note(
            "ALWAYS ON is the same provider with every compute awake 24/7. --sheet SHEET shows a bill line by line.",
        );
        return Ok(());
    };
    cx.ui.text(&lines(sheet).to_string())?;
    noted(cx, &sheet.notes);
    Ok(())
}

fn noted(cx: &Context, notes: &[String]) {
    for note in notes {
        cx.ui.note(&format!("- {note}"));
    }
}

fn period(cost: &Reply) -> String {
    let told = format!("{}, from {} to {}", cost.month, time(Some(cost.from)), time(Some(cost.to)));
    if cost.known_since > cost.from {
        return format!("{told}; nothing is known before {}", time(Some(cost.known_since)));
    }
    told
}

fn totals(sheets: &[SheetCost]) -> Table {
    let mut table =
        Table::list(&["SHEET", "PROVIDER", "PLAN", "PRICES OF", "COST", "ALWAYS ON", "SAVED", "ALLOWED"]);
    for sheet in sheets {
        table.row([
            sheet.id.clone(),
            sheet.provider.clone(),
            sheet.plan.clone(),
            sheet.dated.clone(),
            money(sheet.total, &sheet.currency),
            money(sheet.always_on_total, &sheet.currency),
            format!("{} %", sheet.saving_percent),
            if sheet.fits { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table
}

fn lines(sheet: &SheetCost) -> Table {
    let mut table = Table::list(&["ITEM", "QUANTITY", "UNIT", "PRICE", "AMOUNT"]);
    for line in &sheet.lines {
        table.row([
            line.item.clone(),
            quantity(line.quantity),
            line.unit.clone(),
            line.unit_price.to_string(),
            money(line.amount, &sheet.currency),
        ]);
    }
    let sum = |item: &str, amount| {
        [item.to_owned(), String::new(), String::new(), String::new(), money(amount, &sheet.currency)]
    };
    table.row(sum("total", sheet.total));
    table.row(sum("always on", sheet.always_on_total));
    table.row(sum(&format!("saved ({} %)", sheet.saving_percent), sheet.saving));
    table
}

fn projects(cost: &Reply) -> Table {
    let mut table = Table::list(&["PROJECT", "NAME", "HOURS", "CU-HOURS", "COST ALONE"]);
    let sheet = cost.sheets.first();
    for project in &cost.projects {
        let total = sheet.and_then(|sheet| Some((project.costs.get(&sheet.id)?, &sheet.currency)));
        table.row([
            project.project_id.to_string(),
            project.name.clone(),
            quantity(project.totals.active_seconds / 3_600.0),
            quantity(project.totals.cu_seconds / 3_600.0),
            total.map(|(total, currency)| money(*total, currency)).unwrap_or_default(),
        ]);
    }
    table
}

fn sheets(all: &PriceSheets) -> Table {
    let mut table = Table::list(&["SHEET", "PROVIDER", "PLAN", "REGION", "PRICES OF", "SOURCE", "DEFAULT"]);
    for sheet in &all.sheets {
        table.row([
            sheet.id.clone(),
            sheet.provider.clone(),
            sheet.plan.clone(),
            sheet.region.clone(),
            sheet.dated.clone(),
            sheet.source.clone(),
            if sheet.id == all.default_sheet { "yes" } else { "" }.to_owned(),
        ]);
    }
    table
}

fn prices(all: &PriceSheets) -> Table {
    let mut table = Table::list(&["ITEM", "UNIT", "FROM", "PRICE"]);
    for sheet in &all.sheets {
        for price in &sheet.prices {
            table.row([
                price.item.clone(),
                price.unit.clone(),
                price.beyond.map(|beyond| beyond.to_string()).unwrap_or_default(),
                format!("{} {}", price.price, sheet.currency),
            ]);
        }
    }
    table
}

/// At most three decimal places; JSON has them all.
fn quantity(quantity: f64) -> String {
    let text = format!("{quantity:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// In hundredths, as bills are; less than half of one that is not nothing is shown as such.
fn money(amount: f64, currency: &str) -> String {
    if amount > 0.0 && amount < 0.005 {
        return format!("<0.01 {currency}");
    }
    format!("{amount:.2} {currency}")
}

#[cfg(test)]
mod tests {
    use super::{money, quantity};

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [quantity(36.5), quantity(0.0), quantity(9.313_225_746), quantity(120.0)],
            ["36.5", "0", "9.313", "120"]
        );
        assert_eq!(money(7.769, "USD"), "7.77 USD");
        assert_eq!(money(-10.0, "USD"), "-10.00 USD");
        assert_eq!(money(0.000_123, "EUR"), "<0.01 EUR");
        assert_eq!(money(0.0, "EUR"), "0.00 EUR");
    }
}
