//! The ways in.

use serde::Serialize;

/// The way in by which something is asked, as `context.via` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// A message to an agent.
    Chat,
    /// A tool call from outside.
    Mcp,
    /// A model that is asked without an agent.
    OpenAi,
    /// A route of Cardea's own, beside those.
    Api,
    /// Cardea itself, which takes back what a turn did.
    Undo,
}

impl Via {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Mcp, Self::OpenAi, Self::Api, Self::Undo];

    /// The word in policies and logs.
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

    /// The one with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.name() == name)
    }
}
