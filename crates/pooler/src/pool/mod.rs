//! One pool's books: backends, waiting clients, limits.
