//! Pure decisions of Cardea: no socket, no file, no task.
//!
//! Everything here is a value or a function of values, so it can be tested without an environment. The other crates
//! add effects; they never repeat a decision that is made here.

pub mod agent;
pub mod cache;
pub mod canonical;
pub mod connector;
pub mod cost;
pub mod effort;
pub mod error;
pub mod form;
pub mod guard;
pub mod id;
pub mod journal;
pub mod log;
pub mod message;
pub mod page;
pub mod pin;
pub mod policy;
pub mod principal;
pub mod saga;
pub mod secret;
pub mod select;
pub mod size;
pub mod sse;
mod template;
pub mod time;
pub mod tool;
pub mod trace;
pub mod units;
pub mod written;

pub use error::{Code, Error, Result, Retry};
