//! Interfaces through which requests come in.

use serde::Serialize;

/// The interface of a request, as named by `context.via`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// A message to an agent.
    Chat,
    /// A tool call from outside.
    Mcp,
    /// A model asked without an agent.
    OpenAi,
    /// Another route of Cardea's own.
    Api,
    /// Cardea itself, which undoes the steps of a turn.
    Undo,
}

impl Via {
    /// All interfaces.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Mcp, Self::OpenAi, Self::Api, Self::Undo];

    /// Returns the name used in policies and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Mcp => "mcp",
            Self::OpenAi => "openai",
            Self::Api => "api",
            Self::Undo => "undo",
        }
    }

    /// Returns the interface with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.name() == name)
    }
}
