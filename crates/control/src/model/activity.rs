//! How long something was active, from the moments at which that changed.

use dormouse_api::consumption::Granularity;
use dormouse_base::Timestamp;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Unit, Zoned};

/// A time from one moment to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

/// The times during which something was active, from its turns (oldest first; true = became active). What is
/// still active at the end is so until `now`.
#[must_use]
pub fn spans(turns: &[(Timestamp, bool)], now: Timestamp) -> Vec<Span> {
    let (mut spans, mut since) = (Vec::new(), None);
    for (at, active) in turns {
        match (since, active) {
            (None, true) => since = Some(*at),
            (Some(from), false) => {
                spans.push(Span { from, to: *at });
                since = None;
            }
            _ => {}
        }
    }
    spans.extend(since.filter(|from| *from < now).map(|from| Span { from, to: now }));
    spans
}

/// The whole seconds of `spans` that lie within `frame`, added up.
#[must_use]
pub fn within(frame: &Span, spans: &[Span]) -> u64 {
    let overlap = |span: &Span| {
        let (from, to) = (span.from.max(frame.from), span.to.min(frame.to));
        if from < to { to.duration_since(from) } else { SignedDuration::ZERO }
    };
    let all = spans.iter().map(overlap).fold(SignedDuration::ZERO, SignedDuration::saturating_add);
    u64::try_from(all.as_secs()).unwrap_or(0)
}

/// The hours, days or months (UTC) from `from` to `to`, both rounded down; `None` when there is none, or more
/// than `most`.
#[must_use]
pub fn frames(from: Timestamp, to: Timestamp, by: Granularity, most: usize) -> Option<Vec<Span>> {
    let (mut at, end) = (rounded(from, by)?, rounded(to, by)?);
    let step = match by {
        Granularity::Hourly => 1.hour(),
        Granularity::Daily => 1.day(),
        Granularity::Monthly => 1.month(),
    };
    let mut frames = Vec::new();
    while at < end {
        let next = at.checked_add(step).ok()?;
        frames.push(Span { from: at.timestamp(), to: next.timestamp() });
        if frames.len() > most {
            return None;
        }
        at = next;
    }
    (!frames.is_empty()).then_some(frames)
}

fn rounded(at: Timestamp, by: Granularity) -> Option<Zoned> {
    let at = at.to_zoned(TimeZone::UTC);
    let floor = |unit| at.round(jiff::ZonedRound::new().smallest(unit).mode(jiff::RoundMode::Floor)).ok();
    match by {
        Granularity::Hourly => floor(Unit::Hour),
        Granularity::Daily => floor(Unit::Day),
        Granularity::Monthly => at.first_of_month().ok()?.start_of_day().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-{text}Z").parse().unwrap()
    }

    #[test]
    fn time_is_added_up_within_its_frame() {
        let turns = [
            (at("01-02T10:30:00"), true),
            (at("01-02T11:15:00"), false),
            (at("01-02T11:20:00"), false),
            (at("01-02T11:50:00"), true),
        ];
        let spans = spans(&turns, at("01-02T12:10:00"));
        let frames = frames(at("01-02T10:59:00"), at("01-02T13:01:00"), Granularity::Hourly, 168).unwrap();
        let told: Vec<u64> = frames.iter().map(|frame| within(frame, &spans)).collect();
        assert_eq!(told, [30 * 60, 15 * 60 + 10 * 60, 10 * 60]);
    }

    #[test]
    fn frames_are_whole_and_limited() {
        let months = frames(at("01-31T10:00:00"), at("04-01T00:00:00"), Granularity::Monthly, 12).unwrap();
        assert_eq!(months.len(), 3);
        assert_eq!(months[1], Span { from: at("02-01T00:00:00"), to: at("03-01T00:00:00") });
        assert_eq!(frames(at("01-02T10:00:00"), at("01-02T10:30:00"), Granularity::Hourly, 168), None);
        assert_eq!(frames(at("01-02T10:00:00"), at("01-01T10:30:00"), Granularity::Hourly, 168), None);
        assert_eq!(frames(at("01-01T00:00:00"), at("04-01T00:00:00"), Granularity::Daily, 60), None);
    }
}
