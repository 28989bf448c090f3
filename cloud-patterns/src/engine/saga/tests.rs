//! What the executor holds to, beyond what the crash harness shows.
