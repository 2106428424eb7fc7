//! The command line of the crowd.

/// What can be asked for.
pub const USAGE: &str = "\
usage: crowd [--seed N] [--seconds S] [--runs R] [--clients C]

  --seed      the first seed; run i uses seed N + i [default: taken from the clock]
  --seconds   how long each run breaks things under load [default: 60]
  --runs      how many runs, one after the other [default: 1]
  --clients   how many [default: 10000]; needs as many open files, here and in the server";

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// Seconds of load.
    pub seconds: u64,
    /// How many runs.
    pub runs: u64,
    /// Clients.
    pub clients: usize,
}

impl Options {
    /// The defaults with this seed.
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, seconds: 60, runs: 1, clients: 10_000 }
    }

    /// Reads the words of a command line.
    ///
    /// # Errors
    /// The word that cannot be understood.
    pub fn parse(seed: u64, words: &[String]) -> Result<Self, String> {
        let mut options = Self::with_seed(seed);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let number = value.parse::<u64>().map_err(|_| format!("{word} {value}: not a number"))?;
            match word.as_str() {
                "--seed" => options.seed = number,
                "--seconds" => options.seconds = number,
                "--runs" => options.runs = number,
                "--clients" => {
                    options.clients = usize::try_from(number).unwrap_or(usize::MAX).clamp(2, 50_000);
                }
                other => return Err(format!("unknown: {other}")),
            }
        }
        Ok(options)
    }

    /// The command that repeats the run of this seed.
    pub fn to_repeat(&self, seed: u64) -> String {
        format!(
            "cargo run -p dormouse-tests --bin crowd -- --seed {seed} --seconds {} --clients {}",
            self.seconds, self.clients
        )
    }
}
