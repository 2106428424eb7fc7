//! Which snapshot and which WAL make a point of a branch's history. Pure.
