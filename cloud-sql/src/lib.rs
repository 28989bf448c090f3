//! The `Sql` service trait over sqlx.
