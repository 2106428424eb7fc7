//! The command line of a torture, and what a seed decides.

use std::fmt;
use std::path::PathBuf;

use super::seed::Seed;
use crate::storage;

/// What can be asked for.
pub const USAGE: &str = "\
usage: torture [--seed N] [--seconds S] [--runs R] [--pg 15|16|17|18] [--storage on|off] [--dir DIR]
               [--keep] [--quiet]

  --seed      the first seed; run i uses seed N + i [default: taken from the clock]
  --seconds   how long each run works and breaks things; the checks come on top [default: 60]
  --runs      how many runs, one after the other [default: 1]
  --pg        the PostgreSQL version, instead of the seed's choice
  --storage   also torture branches, the store and recovery [default: whether this build has the feature]
  --dir       where the directory of a run is made [default: the place for temporary files]
  --keep      keep the directory of a run that went well, too
  --quiet     do not show the timeline while it grows";

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// Seconds of load in each run.
    pub seconds: u64,
    /// How many runs.
    pub runs: u64,
    /// The PostgreSQL version; the seed's choice when `None`.
    pub pg: Option<u64>,
    /// Torture the storage as well.
    pub storage: bool,
    /// Where the directory of a run is made; the place for temporary files when `None`.
    pub dir: Option<PathBuf>,
    /// Keep the directory of a good run.
    pub keep: bool,
    /// Show the timeline.
    pub loud: bool,
}

impl Options {
    /// The defaults with this seed.
    pub fn with_seed(seed: u64) -> Self {
        let storage = storage::IS_READY;
        Self { seed, seconds: 60, runs: 1, pg: None, storage, dir: None, keep: false, loud: true }
    }

    /// Reads the words of a command line.
    ///
    /// # Errors
    /// The word that cannot be understood.
    pub fn parse(seed: u64, words: &[String]) -> Result<Self, String> {
        let mut options = Self::with_seed(seed);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
                value.parse::<u64>().map_err(|_| format!("{word} {value}: not a number"))
            };
            match word.as_str() {
                "--seed" => options.seed = number()?,
                "--seconds" => options.seconds = number()?,
                "--runs" => options.runs = number()?,
                "--pg" => options.pg = Some(number()?),
                "--storage" => match words.next().map(String::as_str) {
                    Some("on") => options.storage = true,
                    Some("off") => options.storage = false,
                    _ => return Err("--storage needs on or off".to_owned()),
                },
                "--dir" => options.dir = Some(words.next().ok_or("--dir needs a value")?.into()),
                "--keep" => options.keep = true,
                "--quiet" => options.loud = false,
                "--help" => return Err("torture: breaks a server at random, and looks".to_owned()),
                other => return Err(format!("unknown: {other}")),
            }
        }
        Ok(options)
    }

    /// The command that repeats the run of this seed.
    pub fn to_repeat(&self, seed: u64) -> String {
        let storage = if self.storage { "on" } else { "off" };
        let pg = self.pg.map(|pg| format!(" --pg {pg}")).unwrap_or_default();
        format!("make torture ARGS=\"--seed {seed} --seconds {} --storage {storage}{pg}\"", self.seconds)
    }
}

/// What a seed decides before anything runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The PostgreSQL version.
    pub(crate) pg: u64,
    /// Clients that write.
    pub(crate) clients: i32,
    /// `up --keep-computes`.
    pub(crate) keep_computes: bool,
    /// `max_prepared_transactions`; 0 = no prepared transactions.
    pub(crate) prepared: u64,
    /// Idle and pause time, seconds.
    pub(crate) sleepy: Option<(u64, u64)>,
    /// At the end everything is killed without a goodbye before the local files go.
    pub(crate) rude_end: bool,
}

impl Plan {
    /// Draws it.
    pub(crate) fn of(seed: &Seed, pg: Option<u64>) -> Self {
        let mut draw = seed.of("plan");
        let drawn = draw.between(15, 18);
        Self {
            pg: pg.unwrap_or(drawn),
            clients: i32::try_from(draw.between(3, 6)).unwrap(),
            keep_computes: draw.percent(50),
            prepared: if draw.percent(70) { draw.between(10, 30) } else { 0 },
            sleepy: draw.percent(30).then(|| (1, draw.between(1, 3))),
            rude_end: draw.percent(50),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {}, {} clients", self.pg, self.clients)?;
        if self.prepared > 0 {
            write!(f, ", {} prepared transactions", self.prepared)?;
        }
        if let Some((idle, pause)) = self.sleepy {
            write!(f, ", sleeps after {idle} s and stops after {pause} s more")?;
        }
        write!(f, "{}", if self.keep_computes { ", --keep-computes" } else { "" })?;
        write!(f, "{}", if self.rude_end { ", ends without a goodbye" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_is_printed_repeats_the_run() {
        let options = Options::parse(1, &words("--seed 4 --seconds 9 --pg 16 --storage off")).unwrap();
        let printed = options.to_repeat(4);
        let again = printed.split('"').nth(1).unwrap();
        assert_eq!(Options::parse(2, &words(again)).unwrap(), options);
        assert!(
            Options::parse(1, &words("--seed x")).is_err() && Options::parse(1, &words("--fast")).is_err()
        );
    }

    #[test]
    fn all_versions_are_drawn() {
        let mut seen: Vec<u64> = (0..40).map(|seed| Plan::of(&Seed::new(seed), None).pg).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [15, 16, 17, 18]);
        assert_eq!(Plan::of(&Seed::new(5), Some(16)).pg, 16);
    }
}
