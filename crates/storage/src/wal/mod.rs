//! The WAL service: receives, keeps, files and serves the WAL of running computes.
