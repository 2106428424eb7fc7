//! What stands between PostgreSQL and a file with holes.
