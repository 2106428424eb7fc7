//! Session settings: what a client set, and what must be replayed on another backend.
