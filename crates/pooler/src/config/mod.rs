//! Limits and time limits in PgBouncer's vocabulary.
