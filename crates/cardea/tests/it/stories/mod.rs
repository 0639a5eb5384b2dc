//! Stories about users, each against a whole Cardea over a real socket.

mod approvals;
mod audit;
mod bad_input;
mod bound;
mod caches;
mod connectors;
mod credentials;
mod embedded;
mod erasure;
mod faults;
mod guard;
mod limits;
mod mcp;
mod openai;
mod openapi;
mod orders;
mod placeholders;
mod policies;
mod revocations;
mod rights;
mod selection;
mod strangers;
mod talks;
mod traces;
mod transport;
mod undo;
