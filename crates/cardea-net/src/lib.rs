//! Outbound HTTP: every HTTP request that Cardea sends goes through [`Net`].
//!
//! Promises: a request reaches only addresses that may be reached. Loopback, private, link-local and special ranges
//! are refused, as literals and after name resolution, and the connection goes to exactly the address that was
//! checked. Targets of the configured allow list (`host:port` or a range) are the exception. Plain `http` is for
//! listed targets only. Each request names the hosts it may reach ([`Egress`]), follows no redirect unless asked (and
//! then only to the same origin), and is bounded in time, in size and in number per host.
//!
//! Refuses to guess: an error says whether the request may have left ([`NetError::may_have_been_sent`]), because a
//! write that may have left is neither done nor failed.
//!
//! Called by: key sets of issuers, models, tool servers, connectors. No other code opens a connection.

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
pub use error::{Busy, NetError, Refusal};
pub use request::{Egress, Redirects, Request, Target};
