//! A time as whole months, days and hours: what is asked for becomes rows of the roll-ups. Pure.

use dormouse_api::usage::Granularity;
use dormouse_base::Timestamp;
use jiff::tz::TimeZone;
use jiff::{RoundMode, ToSpan, Unit, Zoned, ZonedRound};

use crate::db::usage::{Range, kept_days};

/// The most periods of one report: all hours that are kept.
pub const MAX_PERIODS: usize = 35 * 24 + 1;

/// A time from one moment to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

/// Why a time cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It does not begin before it ends.
    Empty,
    /// It has more than [`MAX_PERIODS`].
    TooMany,
    /// Periods of this length are not kept for so long.
    Gone(Granularity),
}

/// The beginning of the period that a moment is in.
#[must_use]
pub fn floor(at: Timestamp, by: Granularity) -> Timestamp {
    let zoned = at.to_zoned(TimeZone::UTC);
    let round = |unit| zoned.round(ZonedRound::new().smallest(unit).mode(RoundMode::Floor));
    let floor = match by {
        Granularity::Hour => round(Unit::Hour),
        Granularity::Day => round(Unit::Day),
        Granularity::Month => zoned.first_of_month().and_then(|day| day.start_of_day()),
    };
    floor.map_or(at, |floor| floor.timestamp())
}

/// The beginning of the next period; `at` is the beginning of one.
fn next(at: Timestamp, by: Granularity) -> Timestamp {
    let step = match by {
        Granularity::Hour => 1.hour(),
        Granularity::Day => 1.day(),
        Granularity::Month => 1.month(),
    };
    let next: Result<Zoned, _> = at.to_zoned(TimeZone::UTC).checked_add(step);
    next.map_or(Timestamp::MAX, |next| next.timestamp())
}

/// The first beginning of a period that is not before a moment.
#[must_use]
pub fn ceil(at: Timestamp, by: Granularity) -> Timestamp {
    let floor = floor(at, by);
    if floor == at { at } else { next(floor, by) }
}

/// Since when all periods of a length are kept. Hours go by whole days and days by whole months, so that what is left
/// of a day that began before is never taken for all of it.
#[must_use]
pub fn kept_since(grain: Granularity, now: Timestamp) -> Timestamp {
    let oldest = now.checked_sub((kept_days(grain) * 24).hours()).unwrap_or(Timestamp::MIN);
    match grain {
        Granularity::Hour => floor(oldest, Granularity::Day),
        Granularity::Day | Granularity::Month => floor(oldest, Granularity::Month),
    }
}

/// The shortest periods that are still kept of a moment.
fn kept_of(at: Timestamp, now: Timestamp) -> Granularity {
    let kept = |grain: &Granularity| at >= kept_since(*grain, now);
    Granularity::ALL.into_iter().find(kept).unwrap_or(Granularity::Month)
}

/// Widens a time to whole periods: of `by`, else to the shortest ones that are still kept of its ends.
///
/// # Errors
/// When it is empty, or periods of `by` are not kept any more, or are too many.
pub fn widened(asked: Span, by: Option<Granularity>, now: Timestamp) -> Result<Span, Unfit> {
    let asked = Span { from: asked.from, to: asked.to.min(now) };
    if asked.from >= asked.to {
        return Err(Unfit::Empty);
    }
    let of = |at| by.unwrap_or_else(|| kept_of(at, now));
    let span = Span { from: floor(asked.from, of(asked.from)), to: ceil(asked.to, of(asked.to)) };
    if let Some(by) = by {
        if kept_of(span.from, now) > by {
            return Err(Unfit::Gone(by));
        }
        if starts(span, by).nth(MAX_PERIODS).is_some() {
            return Err(Unfit::TooMany);
        }
    }
    Ok(span)
}

/// The beginnings of the periods of a time that was [`widened`] to them.
pub fn starts(span: Span, by: Granularity) -> impl Iterator<Item = Span> {
    let first = Some(span.from).filter(|from| *from < span.to);
    let period = move |from: Timestamp| Span { from, to: next(from, by) };
    std::iter::successors(first.map(period), move |last| (last.to < span.to).then(|| period(last.to)))
}

/// The fewest rows that cover a time: whole months, and days and hours at its ends. What reaches up to now is
/// covered by the periods that now is in, because nothing was used later.
#[must_use]
pub fn ranges(span: Span, now: Timestamp) -> Vec<Range> {
    let range = |grain, span: Span| Range { grain, start: span.from.as_second(), end: span.to.as_second() };
    let up_to_now = span.to >= now;
    let mut found = Vec::new();
    let mut left = vec![span];
    for grain in [Granularity::Month, Granularity::Day, Granularity::Hour] {
        let mut rest = Vec::new();
        for piece in left {
            let to = if up_to_now && piece.to == span.to { ceil(now, grain).max(piece.to) } else { piece.to };
            let whole = Span { from: ceil(piece.from, grain), to: floor(to, grain) };
            if whole.from >= whole.to {
                rest.push(piece);
                continue;
            }
            found.push(range(grain, whole));
            let ends = [Span { from: piece.from, to: whole.from }, Span { from: whole.to, to: piece.to }];
            rest.extend(ends.into_iter().filter(|end| end.from < end.to));
        }
        left = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-{text}Z").parse().unwrap()
    }

    fn told(from: &str, to: &str, now: &str) -> Vec<(Granularity, String, String)> {
        let span = widened(Span { from: at(from), to: at(to) }, None, at(now)).unwrap();
        let second = |s: i64| Timestamp::from_second(s).unwrap().to_string()[5..16].to_owned();
        let mut ranges = ranges(span, at(now));
        ranges.sort_by_key(|range| range.start);
        ranges.into_iter().map(|r| (r.grain, second(r.start), second(r.end))).collect()
    }

    fn row(grain: Granularity, from: &str, to: &str) -> (Granularity, String, String) {
        (grain, from.to_owned(), to.to_owned())
    }

    #[test]
    fn this_month_is_one_row() {
        use Granularity::Month;
        let found = told("11-01T00:00:00", "11-26T05:40:00", "11-26T05:40:00");
        assert_eq!(found, [row(Month, "11-01T00:00", "12-01T00:00")]);
        // Whatever is asked for of the future.
        let found = told("11-01T00:00:00", "12-24T00:00:00", "11-26T05:40:00");
        assert_eq!(found, [row(Month, "11-01T00:00", "12-01T00:00")]);
    }

    #[test]
    fn ends_are_days_and_hours() {
        use Granularity::{Day, Hour, Month};
        let found = told("09-29T22:10:00", "11-02T01:00:00", "11-10T00:00:00");
        let wanted = [
            // Hours of September are gone on 10 November: the day is widened.
            row(Day, "09-29T00:00", "10-01T00:00"),
            row(Month, "10-01T00:00", "11-01T00:00"),
            row(Day, "11-01T00:00", "11-02T00:00"),
            row(Hour, "11-02T00:00", "11-02T01:00"),
        ];
        assert_eq!(found, wanted);
        let found = told("11-09T22:10:00", "11-09T23:30:00", "11-10T12:00:00");
        assert_eq!(found, [row(Hour, "11-09T22:00", "11-10T00:00")]);
        let found = told("11-09T22:10:00", "11-10T12:00:00", "11-10T12:00:00");
        assert_eq!(found, [row(Hour, "11-09T22:00", "11-10T00:00"), row(Day, "11-10T00:00", "11-11T00:00")]);
    }

    #[test]
    fn what_is_not_kept_or_empty_is_refused() {
        let (now, span) = (at("11-26T05:40:00"), |from, to| Span { from: at(from), to: at(to) });
        let hours = |from, to| widened(span(from, to), Some(Granularity::Hour), now);
        assert_eq!(hours("09-01T00:00:00", "09-02T00:00:00"), Err(Unfit::Gone(Granularity::Hour)));
        assert_eq!(hours("11-02T00:00:00", "11-01T00:00:00"), Err(Unfit::Empty));
        assert_eq!(hours("11-27T00:00:00", "11-28T00:00:00"), Err(Unfit::Empty), "the future");
        let day = hours("11-20T10:30:00", "11-20T12:00:01").unwrap();
        assert_eq!(day, span("11-20T10:00:00", "11-20T13:00:00"));
        assert_eq!(starts(day, Granularity::Hour).count(), 3);
        let months = span("01-01T00:00:00", "04-01T00:00:00");
        assert_eq!(starts(months, Granularity::Month).count(), 3);
    }
}
