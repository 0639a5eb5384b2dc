//! Storage and background work of Cardea: jobs, the database, and state shared across nodes.
//!
//! - [`jobs`] starts every task, knows its name and drains tasks in order.
//! - [`db`] is the truth: rows and guarded commits, on SQLite or PostgreSQL, from one SQL text.
//! - [`shared`] is speed: caches, token buckets and wake-ups that may be lost at any time.
//!
//! The crate refuses to know what is stored. It names no tables of rooms except the audit chain, whose links are made
//! inside the transaction that they describe.

pub mod crash;
pub mod db;
pub mod jobs;
pub mod shared;

pub use db::{Commit, CommitError, Db, DbConfig, Engine, FromCell, FromRow, InOrder, Row, RowError, Value};
pub use jobs::{Jobs, Stage};
pub use shared::Shared;
