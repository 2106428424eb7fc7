//! How large an endpoint may become, and what makes it quick before anybody comes: options of `create` and `update`.

use dormouse_api::endpoint::KeepWarm;
use dormouse_base::{Cu, span};

/// See the module.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Size {
    /// Its smallest size, compute units (1 = one processor and 4 GiB); it begins with this.
    #[arg(long, value_name = "CU", value_parser = units)]
    min_cu: Option<f64>,

    /// Its largest size, compute units.
    #[arg(long, value_name = "CU", value_parser = units)]
    max_cu: Option<f64>,

    /// When it is kept awake: five fields of cron in UTC and a time, such as "0 8 * * 1-5 for 10h". Repeatable;
    /// replaces all windows.
    #[arg(long, value_name = "CRON for TIME", value_parser = window)]
    keep_warm: Vec<KeepWarm>,

    /// Keep it awake at no time.
    #[arg(long, conflicts_with = "keep_warm")]
    no_keep_warm: bool,

    /// Whether its working set is read soon after each start.
    #[arg(long, value_name = "BOOL")]
    prewarm: Option<bool>,
}

/// The same, as the API takes them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wishes {
    pub(super) min_cu: Option<f64>,
    pub(super) max_cu: Option<f64>,
    pub(super) keep_warm: Option<Vec<KeepWarm>>,
    pub(super) prewarm: Option<bool>,
}

impl Size {
    pub(super) fn wishes(&self) -> Wishes {
        let windows = (self.no_keep_warm || !self.keep_warm.is_empty()).then(|| self.keep_warm.clone());
        Wishes { min_cu: self.min_cu, max_cu: self.max_cu, keep_warm: windows, prewarm: self.prewarm }
    }
}

/// A window as it is written on the command line.
pub(super) fn shown(window: &KeepWarm) -> String {
    let length = if window.minutes.is_multiple_of(60) {
        format!("{}h", window.minutes / 60)
    } else {
        format!("{}m", window.minutes)
    };
    format!("{} for {length}", window.schedule)
}

pub(crate) fn units(text: &str) -> Result<f64, String> {
    let number: f64 =
        text.trim().parse().map_err(|_| format!("`{text}` is not a number of compute units"))?;
    Cu::new(number).map(Cu::as_f64).map_err(|error| error.to_string())
}

fn window(text: &str) -> Result<KeepWarm, String> {
    let bad = || format!("`{text}` is not `CRON for TIME`, such as `0 8 * * 1-5 for 10h`");
    let (schedule, length) = text.rsplit_once(" for ").ok_or_else(bad)?;
    let length = span::parse(length.trim()).map_err(|error| error.to_string())?;
    let minutes = u32::try_from(length.as_secs() / 60).map_err(|_| bad())?;
    Ok(KeepWarm { schedule: schedule.trim().to_owned(), minutes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_and_shown() {
        let window = window("0 8 * * 1-5 for 10h").unwrap();
        assert_eq!(window, KeepWarm { schedule: "0 8 * * 1-5".to_owned(), minutes: 600 });
        assert_eq!(shown(&window), "0 8 * * 1-5 for 10h");
        assert_eq!(shown(&KeepWarm { minutes: 90, ..window }), "0 8 * * 1-5 for 90m");
        assert!(super::window("0 8 * * *").is_err() && super::window("0 8 * * * for ever").is_err());
    }

    #[test]
    fn sizes_are_numbers_of_units() {
        assert_eq!(units("0.25"), Ok(0.25));
        assert!(units("0.1").is_err() && units("x").is_err() && units("65").is_err());
    }
}
