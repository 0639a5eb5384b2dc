//! Cardea: the secure front door of AI agents.
//!
//! Cardea answers three questions in a fixed order: who is it (auth), may they (control), do it (action). The request
//! paths are the short files in [`flow`]. Every line there names a room. The rooms stand in one line, and a room uses
//! only rooms above it. Start reading at [`flow::chat`].

pub mod action;
pub mod api;
pub mod app;
pub mod commands;
pub mod config;
pub mod context;
pub mod control;
mod demo;
pub mod flow;
pub mod identity;
pub mod observe;
pub mod once;
pub mod turn;
mod upkeep;
pub mod vault;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/agents.md")]
struct Guide;
