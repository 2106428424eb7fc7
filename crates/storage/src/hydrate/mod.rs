//! Filling the holes of a sparse directory just before PostgreSQL touches them.
