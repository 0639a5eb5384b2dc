//! What the engine says about a text. Nothing here carries a value that was found.

use std::{borrow::Cow, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

/// Where a text stands when it is screened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// What the user wrote.
    User,
    /// Arguments of a tool call, on their way out.
    ToolArguments,
    /// What a tool returned.
    ToolResult,
    /// A document given to the model.
    Document,
    /// A remembered fact, before it is stored and after it is recalled.
    Memory,
    /// What the model answers, streamed, whole or from a cache.
    Output,
    /// The title of a conversation.
    Title,
    /// The description of a tool, when it is imported.
    ToolDescription,
}

impl Surface {
    /// All surfaces, in the order of [`Surface::index`].
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::ToolArguments,
        Self::ToolResult,
        Self::Document,
        Self::Memory,
        Self::Output,
        Self::Title,
        Self::ToolDescription,
    ];

    /// The place in tables that have one column for each surface.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word in files, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ToolArguments => "tool_arguments",
            Self::ToolResult => "tool_result",
            Self::Document => "document",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Title => "title",
            Self::ToolDescription => "tool_description",
        }
    }

    /// True where somebody else than the user or the agent's author may have written the text.
    #[must_use]
    pub const fn is_untrusted(self) -> bool {
        matches!(self, Self::ToolResult | Self::Document | Self::Memory | Self::ToolDescription)
    }
}

/// What to do with a text. Later is more severe; a verdict carries the most severe action of its findings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Let it through unchanged.
    #[default]
    Pass,
    /// Put a typed placeholder in the place of the finding.
    Mask,
    /// Let it through, annotated and tainted.
    Warn,
    /// Do not let it through.
    Refuse,
}

/// The four families of findings. A profile may speak of a family or of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Data about a person.
    Personal,
    /// A key, token or password.
    Credential,
    /// Text that tries to give the model orders.
    Injection,
    /// Text that the content policy does not want.
    Content,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 4] = [Self::Personal, Self::Credential, Self::Injection, Self::Content];

    /// The word in files, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Credential => "credential",
            Self::Injection => "injection",
            Self::Content => "content",
        }
    }
}

/// One thing that a detector saw. It carries where and what, never the value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The type, such as `card`, `github_token`, `override`.
    pub kind: Arc<str>,
    /// The family of the type.
    pub family: Family,
    /// Byte range in the text that was given (for a stream: in the whole stream).
    pub span: Range<usize>,
    /// 0 to 1.
    pub confidence: f32,
    /// Which detector saw it: `pattern`, `decoded`, `rule`, `classifier`, `list`.
    pub detector: &'static str,
    /// The id of the row or rule, for audit.
    pub rule: Arc<str>,
    /// What the profile does about it on this surface.
    pub action: Action,
}

/// Why a text must not steer writes: travels with the turn and is an attribute in policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// Where the text came in.
    pub source: Surface,
    /// True if a detector saw something; false if the text is only of untrusted origin.
    pub suspicious: bool,
    /// Ids of the rules that fired, sorted, each once.
    pub rules: Vec<Arc<str>>,
}

/// The engine's answer about one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict<'t> {
    /// The most severe action of all findings.
    pub action: Action,
    /// What was seen with at least the profile's confidence, by position.
    pub findings: Vec<Finding>,
    /// The text with placeholders in it; the given text where nothing is masked. Not for use after a refusal.
    pub text: Cow<'t, str>,
    /// Set for every text of untrusted origin, and for any text with a warning.
    pub taint: Option<Taint>,
}

/// The engine's answer about JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueVerdict {
    /// The most severe action of all findings.
    pub action: Action,
    /// What was seen with at least the profile's confidence. Places count in the value as detectors read it.
    pub findings: Vec<Finding>,
    /// The value with placeholders in it, if anything is masked. Not for use after a refusal.
    pub masked: Option<serde_json::Value>,
    /// As in [`Verdict::taint`].
    pub taint: Option<Taint>,
}

impl Verdict<'_> {
    /// True if the text must not go on.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.action == Action::Refuse
    }

    /// The same verdict without a borrow of the text.
    #[must_use]
    pub fn into_owned(self) -> Verdict<'static> {
        Verdict {
            action: self.action,
            findings: self.findings,
            text: Cow::Owned(self.text.into_owned()),
            taint: self.taint,
        }
    }
}

impl Taint {
    /// The taint of a text with these findings.
    pub(super) fn of(surface: Surface, findings: &[Finding]) -> Option<Self> {
        let alarming = findings.iter().filter(|finding| finding.action >= Action::Warn);
        let mut rules: Vec<_> = alarming.map(|finding| finding.rule.clone()).collect();
        rules.sort();
        rules.dedup();
        let suspicious = !rules.is_empty();
        (suspicious || surface.is_untrusted()).then_some(Self { source: surface, suspicious, rules })
    }
}
