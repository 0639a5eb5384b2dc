//! MCP servers for tool authors, in which every call has a caller, a guard, a limit and a record.
//!
//! A [`Server`] is put together from [`Router`]s of [`Tool`]s; a tool is an async function. Before it starts,
//! everything that can be wrong without a request is found: two tools with one name, a missing state, a tool without
//! description or guard. Then each call takes one path (`pipeline`): sign-in, rate, guards, concurrency, arguments,
//! cache, intent, breaker, time limit, handler, record. What a caller may not call is not listed either.
//!
//! The protocol is rmcp's, on both wires (2026-07-28 and 2025-11-25); identity is `cardea-auth`'s. Start with
//! `docs/guide/mcp-servers.md`.
//!
//! Called by: tool authors, `examples/customer-ops`. It knows nothing of the rest of Cardea.

mod app;
pub mod audit;
mod beside;
mod call;
mod context;
mod extras;
mod facts;
pub mod guard;
mod handler;
mod http;
mod identity;
pub mod layer;
mod pipeline;
mod router;
mod rpc;
mod schema;
mod server;
mod session;
mod stop;
pub mod testing;
mod tool;

pub use cardea_auth as auth;
pub use cardea_core::{
    Code, Error,
    principal::Principal,
    secret::{ExposeSecret, SecretString},
    time::Millis,
    tool::{Effect, Sharing},
};
pub use cardea_net::NetConfig;
pub use futures::future::BoxFuture;
pub use rmcp;
pub use schemars;

pub use self::{
    audit::Audit,
    call::{Call, Reply},
    context::{Confirm, Context, IDEMPOTENCY_META},
    extras::Extras,
    facts::{CheckHint, Facts, Idempotency, Reuse, TOOL_META, UndoHint},
    handler::{Args, Extra, FromCall, Handler, IntoAnswer, Json, Needs, Raw, State},
    layer::Layers,
    router::Router,
    server::{Server, Service, StartError},
    session::{MAX_VALUE, MemorySessions, Session, SessionStore},
    stop::{ERROR_META, Result, Stop},
    testing::TestClient,
    tool::Tool,
};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/mcp-servers.md")]
struct Guide;
