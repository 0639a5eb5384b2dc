//! Agents: what a file in `agents/` says.

/// Placeholder until the agent file is written.
pub struct Placeholder;
