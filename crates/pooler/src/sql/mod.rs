//! What a statement's text does to the state of its session.
