//! What is to be injected, as text and as numbers.

use std::str::FromStr;
use std::time::Duration;

/// How likely something is, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Chance(pub u64);

impl Chance {
    /// The chance of what always happens.
    pub const ALWAYS: u64 = 1_000_000;
}

impl FromStr for Chance {
    type Err = String;
    /// `1%`, `0.5%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        match number {
            Some(percent) if (0.0..=100.0).contains(&percent) => {
                Ok(Self((percent * 10_000.0).round() as u64))
            }
            _ => Err(format!("`{text}` is not a percentage such as 1% or 0.5%")),
        }
    }
}

/// Which faults, how often. The default injects nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// Where the dice begin.
    pub seed: u64,
    /// Added to each request.
    pub latency: Duration,
    /// Fails without having done anything.
    pub error: Chance,
    /// Reads whose body ends early.
    pub truncate: Chance,
    /// Writes that are carried out and then fail.
    pub timeout_after_success: Chance,
    /// Listings that do not show what was written within the last [`stale_for`](Self::stale_for).
    pub stale_list: Chance,
    /// How far behind a stale listing is.
    pub stale_for: Duration,
    /// Reads with one flipped bit.
    pub corrupt: Chance,
}

/// How far behind a stale listing is when the plan does not say.
const STALE_FOR: Duration = Duration::from_secs(2);

impl FromStr for FaultPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self { stale_for: STALE_FOR, ..Self::default() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` has no `=`"))?;
            match name.trim() {
                "seed" => plan.seed = value.parse().map_err(|_| format!("`{value}` is not a seed"))?,
                "latency" => plan.latency = duration(value)?,
                "stale_for" => plan.stale_for = duration(value)?,
                "error" => plan.error = value.parse()?,
                "truncate" => plan.truncate = value.parse()?,
                "timeout_after_success" => plan.timeout_after_success = value.parse()?,
                "stale_list" => plan.stale_list = value.parse()?,
                "corrupt" => plan.corrupt = value.parse()?,
                other => {
                    return Err(format!(
                        "`{other}` is not a fault: seed, latency, error, truncate, timeout_after_success, \
                         stale_list, stale_for, corrupt"
                    ));
                }
            }
        }
        Ok(plan)
    }
}

/// `20ms`, `1s`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 20ms or 1s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1000),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_millis(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_and_nonsense_is_refused() {
        let text =
            "seed=3, latency=20ms,error=1%,truncate=0.5%,timeout_after_success=2%,stale_list=100%,corrupt=0%";
        let plan: FaultPlan = text.parse().unwrap();
        assert_eq!((plan.seed, plan.latency), (3, Duration::from_millis(20)));
        assert_eq!((plan.error, plan.truncate), (Chance(10_000), Chance(5_000)));
        assert_eq!((plan.timeout_after_success, plan.stale_list), (Chance(20_000), Chance(1_000_000)));
        assert_eq!("".parse::<FaultPlan>().unwrap().error, Chance(0));
        for bad in ["x", "x=1", "error=1", "error=101%", "error=-1%", "latency=20", "seed=a", "error=NaN%"] {
            assert!(bad.parse::<FaultPlan>().is_err(), "{bad}");
        }
    }
}
