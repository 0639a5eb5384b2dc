//! Stories about users, each against a whole Cardea over a real socket.

mod approvals;
mod audit;
mod bad_input;
mod credentials;
mod embedded;
mod mcp;
mod openai;
mod openapi;
mod orders;
mod talks;
