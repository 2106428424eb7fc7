//! The largest of everything. A peer that has not proved who it is must not be able to make us hold much.

/// Bytes of a startup packet after its own length word: PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`.
pub const MAX_STARTUP_LEN: usize = 10_000;

/// Parameters in one startup packet. Drivers send about six; the packet's length alone would allow 3,000.
pub const MAX_STARTUP_PARAMS: usize = 256;

/// Bytes of the body of a password message: PostgreSQL's `PG_MAX_AUTH_TOKEN_LENGTH`.
pub const MAX_AUTH_MESSAGE: usize = 65_535;

/// Bytes of one SCRAM message: PostgreSQL's `PG_MAX_SASL_MESSAGE_LENGTH`.
pub const MAX_SASL_MESSAGE: usize = 1024;

/// Bytes of one reply from PostgreSQL while a connection is being opened. Larger than any real one.
pub const MAX_BACKEND_MESSAGE: usize = 1024 * 1024;

/// Bytes of one message from a client whose body we must read whole. PostgreSQL's own limit is 1 GiB.
pub const MAX_FRONTEND_MESSAGE: usize = 64 * 1024 * 1024;

/// Bytes of a cancel key: protocol 3.2 allows up to 256, protocol 3.0 always has 4.
pub const MAX_CANCEL_SECRET: usize = 256;

/// PBKDF2 rounds that we are willing to do ourselves (about a third of a second). A role can be given a
/// verifier with more; it then still works with SCRAM, where the client does the rounds.
pub const MAX_SCRAM_ITERATIONS: u32 = 1_000_000;

/// Fields in one error or notice; PostgreSQL knows 18.
pub const MAX_ERROR_FIELDS: usize = 64;

/// Characters of a name (role, database) that we repeat back in an error. PostgreSQL's names have 63 bytes.
pub const MAX_QUOTED_NAME: usize = 128;

/// Bytes of one message in a replication session. A walsender puts at most 128 KiB of WAL into one.
pub const MAX_REPLICATION_MESSAGE: usize = 4 * 1024 * 1024;

/// Columns of one row in a replication session; the widest answer of its commands has six.
pub const MAX_ROW_COLUMNS: u16 = 64;
