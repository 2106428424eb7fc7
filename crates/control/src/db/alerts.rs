//! Tables `alert_rules`, `alert_states`, `alert_history`: rules that somebody made or changed, what fires, what changed.

use dormouse_api::alert::{AlertState, Rule};
use dormouse_api::statistics::Metric;
use dormouse_base::{AlertRuleId, Timestamp};
use dormouse_statistics::alert::defaults;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, json, micros, time, to_json};
use crate::alerts::watch::{Change, Firing};

/// Changes that are kept; older ones go.
pub const KEPT_CHANGES: usize = 5000;

/// All rules: the server's own, as they are or as they were changed, then the others by age.
pub fn rules(db: &Connection) -> Result<Vec<Rule>> {
    let mut all = defaults();
    let mut stored = db.prepare_cached("SELECT rule FROM alert_rules ORDER BY created_at, id")?;
    for rule in stored.query_map([], |row| json::<Rule>(row, 0))? {
        let rule = rule?;
        match all.iter_mut().find(|known| known.id == rule.id) {
            Some(known) => *known = rule,
            None => all.push(rule),
        }
    }
    Ok(all)
}

/// Stores a rule, in the place of what was stored.
pub fn put_rule(db: &Connection, rule: &Rule, now: Timestamp) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO alert_rules (id, rule, created_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET rule = excluded.rule",
    )?
    .execute(params![rule.id.as_str(), to_json(rule)?, micros(now)])?;
    Ok(())
}

/// Removes what is stored of a rule. One of the server's own is as at the start then.
pub fn delete_rule(db: &Connection, rule: &AlertRuleId) -> Result<()> {
    db.prepare_cached("DELETE FROM alert_rules WHERE id = ?1")?.execute([rule.as_str()])?;
    Ok(())
}

fn text<T>(row: &Row<'_>, column: usize, read: impl Fn(&str) -> Option<T>) -> Result<T> {
    let found = row.get_ref(column)?.as_str()?;
    read(found).ok_or_else(|| {
        let cause = format!("`{found}` is not known here").into();
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, cause)
    })
}

/// What fires.
pub fn firing(db: &Connection) -> Result<Vec<Firing>> {
    db.prepare_cached("SELECT rule_id, name, metric, subject, state, value, since FROM alert_states")?
        .query_map([], |row| {
            Ok(Firing {
                rule: id(row, 0)?,
                name: row.get(1)?,
                metric: text(row, 2, Metric::named)?,
                subject: text(row, 3, |text| text.parse().ok())?,
                state: text(row, 4, AlertState::named)?,
                value: row.get(5)?,
                threshold: None,
                since: time(row, 6)?,
            })
        })?
        .collect()
}

/// Keeps a change: the state if it fires, and its line in the history.
pub fn put_change(db: &Connection, Change { now, from }: &Change) -> Result<()> {
    let subject = now.subject.to_string();
    if now.state > AlertState::Ok {
        db.prepare_cached(
            "INSERT OR REPLACE INTO alert_states (rule_id, subject, name, metric, state, value, since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            now.rule.as_str(),
            subject,
            now.name,
            now.metric.name(),
            now.state.name(),
            now.value,
            micros(now.since)
        ])?;
    } else {
        db.prepare_cached("DELETE FROM alert_states WHERE rule_id = ?1 AND subject = ?2")?
            .execute(params![now.rule.as_str(), subject])?;
    }
    db.prepare_cached(
        "INSERT INTO alert_history (at, rule_id, name, metric, subject, from_state, to_state, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        micros(now.since),
        now.rule.as_str(),
        now.name,
        now.metric.name(),
        subject,
        from.name(),
        now.state.name(),
        now.value
    ])?;
    Ok(())
}

/// Drops changes beyond [`KEPT_CHANGES`].
pub fn trim(db: &Connection) -> Result<()> {
    db.prepare_cached(
        "DELETE FROM alert_history WHERE id <=
         (SELECT id FROM alert_history ORDER BY id DESC LIMIT 1 OFFSET ?1)",
    )?
    .execute([i64::try_from(KEPT_CHANGES).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// The last changes with their numbers, newest first, until `enough` says so.
pub fn history(db: &Connection, mut enough: impl FnMut(i64, Change) -> bool) -> Result<()> {
    let mut rows = db.prepare_cached(
        "SELECT id, at, rule_id, name, metric, subject, from_state, to_state, value
         FROM alert_history ORDER BY id DESC",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let now = Firing {
            since: time(row, 1)?,
            rule: id(row, 2)?,
            name: row.get(3)?,
            metric: text(row, 4, Metric::named)?,
            subject: text(row, 5, |text| text.parse().ok())?,
            state: text(row, 7, AlertState::named)?,
            value: row.get(8)?,
            threshold: None,
        };
        if enough(row.get(0)?, Change { now, from: text(row, 6, AlertState::named)? }) {
            break;
        }
    }
    Ok(())
}

/// The stored rule of this ID, if there is one.
pub fn stored(db: &Connection, rule: &AlertRuleId) -> Result<Option<Rule>> {
    db.prepare_cached("SELECT rule FROM alert_rules WHERE id = ?1")?
        .query_row([rule.as_str()], |row| json(row, 0))
        .optional()
}

/// How many rules are stored.
pub fn count(db: &Connection) -> Result<usize> {
    let count: u32 = db.query_row("SELECT count(*) FROM alert_rules", [], |row| row.get(0))?;
    Ok(count as usize)
}
