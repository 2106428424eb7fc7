//! What was used: the measures of the ledger, per database, in whole small units.
//!
//! A *database* here is what a provider bills as one: one branch with its compute. It is kept apart from the
//! others because sizes, minimums and allowances apply to each; allowances of the whole account apply to sums.

/// Seconds in the month of price lists, which all providers round to: 730 hours.
pub const MONTH_SECONDS: u64 = 730 * 3600;

/// The size of a database that never worked, so that its size was never measured: the smallest, 0.25 CU.
pub const SMALLEST_MILLI_CU: u64 = 250;

/// The stretch of time of a [`Usage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// How long it is, seconds.
    pub seconds: u64,
    /// How long the month is that it is part of, seconds: what a "month" of a price means. Not 0.
    pub month_seconds: u64,
}

impl Default for Period {
    fn default() -> Self {
        Self { seconds: MONTH_SECONDS, month_seconds: MONTH_SECONDS }
    }
}

/// What one database used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// How long it existed in the period, seconds; never less than it was active.
    pub exists_seconds: u64,
    /// How long its compute was active, seconds.
    pub active_seconds: u64,
    /// Its size while active, added up: thousandths of a CU times seconds.
    pub milli_cu_seconds: u128,
    /// The size that a machine of fixed size would need, thousandths of a CU; `None` = the mean while active.
    pub peak_milli_cu: Option<u64>,
    /// Bytes of data times seconds.
    pub storage_byte_seconds: u128,
    /// Bytes of history times seconds.
    pub history_byte_seconds: u128,
    /// Bytes sent to clients.
    pub egress_bytes: u64,
    /// Reads and writes of storage; `None` = not measured.
    pub io_requests: Option<u64>,
    /// How often its compute woke.
    pub wakes: u64,
}

impl Database {
    /// How long it existed, whatever the ledger says of its activity.
    pub(crate) fn exists(&self) -> u64 {
        self.exists_seconds.max(self.active_seconds)
    }

    /// The size that a compute of fixed size would need, thousandths of a CU.
    pub(crate) fn size(&self) -> u64 {
        let mean = match u128::from(self.active_seconds) {
            0 => SMALLEST_MILLI_CU,
            active => u64::try_from(self.milli_cu_seconds.div_ceil(active)).unwrap_or(u64::MAX),
        };
        self.peak_milli_cu.unwrap_or(mean).max(1)
    }

    /// The same database, active all the time at the size it had while active.
    fn always_on(&self) -> Self {
        let exists = self.exists();
        let milli_cu_seconds = match u128::from(self.active_seconds) {
            0 => u128::from(exists) * u128::from(SMALLEST_MILLI_CU),
            // In two parts, so that the product cannot overflow; rounded up, so that it is never less than it was.
            active => {
                let (whole, rest) = (self.milli_cu_seconds / active, self.milli_cu_seconds % active);
                let exists = u128::from(exists);
                whole.saturating_mul(exists).saturating_add(rest.saturating_mul(exists).div_ceil(active))
            }
        };
        Self { exists_seconds: exists, active_seconds: exists, milli_cu_seconds, wakes: 0, ..self.clone() }
    }
}

/// The databases of one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Project {
    /// Its branches.
    pub databases: Vec<Database>,
}

/// What one account used in one period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// When.
    pub period: Period,
    /// Where.
    pub projects: Vec<Project>,
}

impl Usage {
    /// Of one database.
    #[must_use]
    pub fn of(period: Period, database: Database) -> Self {
        Self { period, projects: vec![Project { databases: vec![database] }] }
    }

    /// The same, with every database active all the time that it existed.
    #[must_use]
    pub fn always_on(&self) -> Self {
        let project = |project: &Project| Project {
            databases: project.databases.iter().map(Database::always_on).collect(),
        };
        Self { period: self.period, projects: self.projects.iter().map(project).collect() }
    }

    pub(crate) fn databases(&self) -> impl Iterator<Item = &Database> {
        self.projects.iter().flat_map(|project| &project.databases)
    }
}
