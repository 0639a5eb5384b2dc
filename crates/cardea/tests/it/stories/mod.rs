//! Stories about users, each against a whole Cardea over a real socket.

mod answers;
mod approvals;
mod audit;
mod bad_input;
mod bound;
mod caches;
mod cancels;
mod connectors;
mod credentials;
mod deletions;
mod denials;
mod embedded;
mod erasure;
mod events;
mod faults;
mod follows;
mod guard;
mod letters;
mod limits;
mod manifests;
mod mcp;
mod openai;
mod openapi;
mod operators;
mod orders;
mod persons;
mod pins;
mod placeholders;
mod policies;
mod proofs;
mod providers;
mod races;
mod refusals;
mod repeats;
mod restarts;
mod revocations;
mod rights;
mod routes;
mod selection;
mod strangers;
mod takeovers;
mod talks;
mod traces;
mod transport;
mod undo;
mod upstreams;

use cardea_testkit::model::Act;
use serde_json::json;

/// The model gives money back for order 17. Above a hundred a person must allow it.
fn refund(amount: u32) -> Act {
    Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": amount, "reason": "goodwill" }))
}
