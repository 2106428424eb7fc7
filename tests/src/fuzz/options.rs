//! The command line of the fuzzer.

use tracing_subscriber::filter::LevelFilter;

use super::Weather;

/// What can be asked for.
pub const USAGE: &str = "\
usage: fuzz [--seed N] [--seconds S] [--runs R] [--clients C] [--pg 15|16|17|18] [--weather calm|cuts|lies] [--log LEVEL]

  --seed      the first seed; run i uses seed N + i [default: taken from the clock]
  --seconds   how long each run works, all phases together [default: 60]
  --runs      how many runs, one after the other [default: 1]
  --clients   clients that are compared with PostgreSQL [default: 10]
  --pg        the PostgreSQL version [default: 15]
  --weather   only this phase
  --log       show the proxy's log from this level on: error, warn, info, debug";

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// Seconds of each run.
    pub seconds: u64,
    /// How many runs.
    pub runs: u64,
    /// Clients.
    pub clients: usize,
    /// The PostgreSQL version.
    pub pg: u16,
    /// Only this.
    pub weather: Option<Weather>,
    /// What is shown of the proxy's log.
    pub log: LevelFilter,
}

impl Options {
    /// The defaults with this seed.
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, seconds: 60, runs: 1, clients: 10, pg: 15, weather: None, log: LevelFilter::OFF }
    }

    /// Reads the words of a command line.
    ///
    /// # Errors
    /// The word that cannot be understood.
    pub fn parse(seed: u64, words: &[String]) -> Result<Self, String> {
        let mut options = Self::with_seed(seed);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().map(String::as_str).ok_or_else(|| format!("{word} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{word} {value}: not a number"));
            match word.as_str() {
                "--seed" => options.seed = number()?,
                "--seconds" => options.seconds = number()?,
                "--runs" => options.runs = number()?,
                "--clients" => {
                    let most = super::player::MAX_PLAYERS;
                    options.clients = usize::try_from(number()?).unwrap_or(most).clamp(1, most);
                }
                "--pg" => options.pg = u16::try_from(number()?).map_err(|_| "--pg: no such version")?,
                "--log" => options.log = value.parse().map_err(|_| "--log is warn, debug, …")?,
                "--weather" => {
                    let all = [("calm", Weather::Calm), ("cuts", Weather::Cuts), ("lies", Weather::Lies)];
                    let known = all.into_iter().find(|(name, _)| *name == value);
                    options.weather = Some(known.ok_or("--weather is calm, cuts or lies")?.1);
                }
                other => return Err(format!("unknown: {other}")),
            }
        }
        Ok(options)
    }

    /// The command that repeats the run of this seed.
    pub fn to_repeat(&self, seed: u64) -> String {
        format!(
            "cargo run -p dormouse-tests --bin fuzz -- --seed {seed} --seconds {} --clients {} --pg {}",
            self.seconds, self.clients, self.pg
        )
    }

    /// The phases, in order.
    pub(super) fn weathers(&self) -> Vec<Weather> {
        match self.weather {
            Some(weather) => vec![weather],
            None => vec![Weather::Calm, Weather::Cuts, Weather::Lies, Weather::Calm],
        }
    }

    pub(super) fn seconds_of(&self, weather: Weather) -> u64 {
        let part = match (self.weather, weather) {
            (Some(_), _) => self.seconds,
            (None, Weather::Calm) => self.seconds * 3 / 10,
            (None, _) => self.seconds / 5,
        };
        part.max(1)
    }
}
