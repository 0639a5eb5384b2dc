//! Inbound HTTP for Cardea's server and for the servers of `cardea-mcp`, whatever their routes are.
//!
//! Promises: [`Acceptor`] limits the number of connections, closes those that are idle or stuck, and answers pending requests
//! at a shutdown. [`host`], [`peer`] and [`is_handed_on`] tell how a request arrived. [`rest_of_body`] keeps a connection
//! usable whose request was answered before it was read.
//!
//! Refuses: to know routes, callers or configuration, and to start tasks: each server has its own rooms for them.
//!
//! Called by: `api` of Cardea, `http` of `cardea-mcp`.

mod accept;
mod head;
mod idle;
mod prompt;
mod rest;

pub use self::{
    accept::Acceptor,
    head::{host, is_handed_on, peer, without_port},
    prompt::Limits,
    rest::rest_of_body,
};
