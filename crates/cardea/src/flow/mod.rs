//! The request paths. Start reading Cardea here: [`enter`], [`chat`], then `tool_call`.
//!
//! Each line of these files names a room, in the order in which things happen. There is no other way to a
//! model or a tool: the API, MCP and an embedding program all come through here.

mod answer;
mod begin;
mod cancel;
mod chat;
mod complete;
mod converse;
mod delete;
mod detached;
mod enter;
mod erase;
mod find;
mod keep;
mod mcp;
mod original;
mod outlet;
mod recheck;
mod resume;
mod revoke;
mod run;
mod talk;
mod think;
mod tool_call;
mod unwind;
mod upkeep;
mod visible;
mod warm;

pub(crate) use self::detached::{Coming, begin, detached, heard, wordless};
pub use self::{
    cancel::cancel,
    chat::{Message, chat},
    complete::{CompleteRequest, Completed, complete},
    delete::delete,
    enter::{enter, still_in},
    erase::erase,
    mcp::{CallReply, CallRequest, call, tools},
    original::{Part, messages},
    outlet::{Outlet, ReplyEvent, Stream},
    resume::{resume_one, watch},
    revoke::{RevokeRequest, revoke},
    talk::Talk,
    visible::tools_of,
};
