//! The request paths. Start reading Cardea here: [`enter`], [`chat`], then `tool_call`.
//!
//! These files are the table of contents of the system: a request is one function, each step of it is one line, and
//! each line names the room that does the work. Read `chat.rs` and then `tool_call.rs` from top to bottom, and you have
//! seen, in order, everything that happens to a message and to the tool calls that it causes.
//!
//! There is no other way from a route to an effect. The HTTP API, MCP and programs that embed Cardea all call the
//! functions exported here.

// Entry points, one file each.
mod cancel;
mod chat;
mod clear;
mod complete;
mod decide;
mod delete;
mod enter;
mod erase;
mod keys;
mod look;
mod mcp;
mod original;
mod resume;
mod revoke;
mod talk;

// Steps that the entry points share.
mod answer;
mod begin;
mod converse;
mod find;
mod finish;
mod keep;
mod outlet;
mod recheck;
mod request;
mod run;
mod think;
mod tool_call;
mod unwind;
mod visible;

// Work in a task of its own, which a disconnecting client does not stop.
mod detached;

pub use self::{
    cancel::cancel,
    chat::chat,
    clear::{Clear, clear_cache},
    complete::{CompleteRequest, Completed, complete},
    decide::decide,
    delete::delete,
    enter::{enter, still_in},
    erase::erase,
    keys::{create_key, keys, revoke_key},
    look::{CacheFigures, audit_entries, cache_figures, decisions, follow_audit, held_tools, revocations},
    mcp::{CallReply, CallRequest, call, tools},
    original::{Part, messages},
    outlet::{Outlet, ReplyEvent, Stream},
    request::{ChatRequest, Request},
    resume::resume_one,
    revoke::{RevokeRequest, TakenBack, revoke},
    talk::Talk,
    visible::{models_of, tools_of},
};
pub(crate) use self::{
    detached::{Coming, begin, detached, heard, wordless},
    run::Run,
    visible::visible,
};
