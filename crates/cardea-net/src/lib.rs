//! The only way out: every HTTP request that Cardea sends goes through [`Net`].
//!
//! It promises that a request reaches only addresses that may be reached. Loopback, private, link-local and special
//! ranges are refused, as literals and after name resolution, and the connection goes to exactly the address that
//! was checked. What stands in the configured allow list (`host:port` or a range) is the exception. Plain `http` is
//! for listed targets only. Each request names the hosts it may reach ([`Egress`]), follows no redirect unless asked
//! (and then only to the same origin), and is bounded in time, in size and in number per host.
//!
//! It refuses to guess: an error says whether the request may have left ([`NetError::may_have_been_sent`]), because
//! a write that may have left is neither done nor failed.
//!
//! Callers: key sets of issuers, models, tool servers, connectors. Nobody else opens a connection.

mod address;
mod body;
mod breaker;
mod client;
mod config;
mod connect;
mod error;
mod hosts;
mod request;
mod resolve;

pub use address::{AllowList, BadTarget, counted_as, special};
pub use body::{Response, Streaming};
pub use client::Net;
pub use config::NetConfig;
pub use error::{NetError, Refusal};
pub use request::{Egress, Redirects, Request, Target};
