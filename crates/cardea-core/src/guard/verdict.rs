//! Results of a scan. No type here contains a value that was found.

use std::{borrow::Cow, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

/// The role of a text when it is screened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Text written by the user.
    User,
    /// Arguments of a tool call, before the call is sent.
    ToolArguments,
    /// Result of a tool call.
    ToolResult,
    /// A document given to the model.
    Document,
    /// A remembered fact, both before it is stored and after it is read.
    Memory,
    /// Answer of the model: streamed, complete, or from a cache.
    Output,
    /// The title of a conversation.
    Title,
    /// Description of a tool, at import.
    ToolDescription,
}

impl Surface {
    /// All surfaces, ordered by [`Surface::index`].
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

    /// Returns the index, for tables with one column per surface.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the name used in files, logs and metrics.
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

    /// Returns whether the author may be someone other than the user or the agent's author.
    #[must_use]
    pub const fn is_untrusted(self) -> bool {
        matches!(self, Self::ToolResult | Self::Document | Self::Memory | Self::ToolDescription)
    }
}

/// Action on a text, ordered by severity. A verdict has the most severe action of its findings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Pass the text unchanged.
    #[default]
    Pass,
    /// Replace the finding by a typed placeholder.
    Mask,
    /// Pass the text, and taint it.
    Warn,
    /// Refuse the text.
    Refuse,
}

/// Family of a kind. A rule of a profile names a family or a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Personal data.
    Personal,
    /// Keys, tokens and passwords.
    Credential,
    /// Text that tries to instruct the model.
    Injection,
    /// Text that the content policy forbids.
    Content,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 4] = [Self::Personal, Self::Credential, Self::Injection, Self::Content];

    /// Returns the name used in files, logs and metrics.
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

/// One finding. It holds the kind and the place, never the value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Kind, such as `card`, `github_token` or `override`.
    pub kind: Arc<str>,
    /// Family of the kind.
    pub family: Family,
    /// Byte range in the given text; for a stream, in the whole stream.
    pub span: Range<usize>,
    /// Confidence, from 0 to 1.
    pub confidence: f32,
    /// Detector: `pattern`, `decoded`, `rule`, `classifier` or `list`.
    pub detector: &'static str,
    /// Id of the table row or rule, for the audit log.
    pub rule: Arc<str>,
    /// Action that the profile sets for it on this surface.
    pub action: Action,
}

/// Reason why a text must not influence writes. It is kept with the turn, and policies can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// Surface on which the text arrived.
    pub source: Surface,
    /// True if a detector found something; false if only the origin is untrusted.
    pub suspicious: bool,
    /// Ids of the rules that matched, sorted, without duplicates.
    pub rules: Vec<Arc<str>>,
}

/// Result of the scan of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict<'t> {
    /// The most severe action of all findings.
    pub action: Action,
    /// Findings with at least the confidence that the profile requires, by position.
    pub findings: Vec<Finding>,
    /// The text with placeholders, or the given text if nothing is masked. Must not be used after a refusal.
    pub text: Cow<'t, str>,
    /// Present for every text of untrusted origin, and for every text with a warning.
    pub taint: Option<Taint>,
}

/// Result of the scan of a JSON value.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueVerdict {
    /// The most severe action of all findings.
    pub action: Action,
    /// Findings with at least the confidence that the profile requires. Ranges refer to the text that is extracted from
    /// the value for the detectors.
    pub findings: Vec<Finding>,
    /// The value with placeholders, if anything is masked. Must not be used after a refusal.
    pub masked: Option<serde_json::Value>,
    /// As in [`Verdict::taint`].
    pub taint: Option<Taint>,
}

impl Verdict<'_> {
    /// Returns whether the text must not be passed on.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.action == Action::Refuse
    }

    /// Returns the verdict without a borrow of the text.
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
    /// Returns the taint of a text with these findings.
    pub(super) fn of(surface: Surface, findings: &[Finding]) -> Option<Self> {
        let alarming = findings.iter().filter(|finding| finding.action >= Action::Warn);
        let mut rules: Vec<_> = alarming.map(|finding| finding.rule.clone()).collect();
        rules.sort();
        rules.dedup();
        let suspicious = !rules.is_empty();
        (suspicious || surface.is_untrusted()).then_some(Self { source: surface, suspicious, rules })
    }
}
