//! Policy: whether a caller may call a tool or ask a model, or must first get an approval.
//!
//! Promises: a [`Snapshot`] is a checked, immutable set of Cedar policies for one tool catalogue, with a version that
//! changes with every byte of either. [`Snapshot::decide`] evaluates only the policies whose scope can match the
//! question, so a decision costs the same among ten policies as among ten thousand. Whatever no policy permits is
//! refused. Listing asks the same question with the arguments left open: a tool is listed if some arguments could be
//! allowed, perhaps after an approval (see `listing.rs`).
//!
//! Refuses: policies that do not match the vocabulary, with file, line, column and advice; every question for which a
//! policy cannot be evaluated, since Cedar would skip an erring `forbid`; every question in which a policy reads a
//! value that Cedar cannot represent, since it would seem absent (see `reads.rs`); an approval by someone whom the
//! policy that requires it does not name.
//!
//! Called by `control::permit` and `control::listable`, by `cardea policy test` and `cardea check`.
//! `docs/guide/policies.md` documents what policies can refer to.

mod approval;
mod cedar;
mod decide;
mod hours;
pub mod limit;
mod listing;
mod matrix;
mod names;
mod reads;
mod ready;
mod schema;
mod shape;
mod slice;
pub mod taint;
#[cfg(test)]
mod tests;
mod via;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use cedar_policy::{Authorizer, Policy};
use serde_json::{Map, Value};

pub use cedar::holds_policies;
pub use matrix::{Among, Case, Expect, Matrix, Report, run};
pub use names::Installation;
pub use via::Via;

use self::{reads::Reads, ready::ReadyOnes, schema::Vocabulary, slice::Index};
use crate::{
    form::closest,
    id::{AgentName, ToolName},
    principal::Principal,
    time::Timestamp,
};

/// The policy that is in force in every installation: after untrusted text has come in, a write that sends data
/// outside needs an approval.
const BUILT_IN: &str = include_str!("built-in.cedar");

/// The role that may lift the built-in policy, unless the configuration names another.
pub const APPROVER: &str = "supervisor";

/// A text with policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name of the file, for messages.
    pub file: String,
    /// Its content.
    pub text: String,
    /// True for [`BUILT_IN`].
    built_in: bool,
}

impl Source {
    /// Creates a source from a text and its origin.
    #[must_use]
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into(), built_in: false }
    }

    /// Returns the built-in policy, with the role that may lift it.
    #[must_use]
    pub fn built_in(approver: &str) -> Self {
        let text = BUILT_IN.replace(APPROVER, approver);
        Self { built_in: true, ..Self::new("built-in.cedar", text) }
    }
}

/// An error or warning in a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong: lower case, without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// Subject of a question.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A call with these arguments.
    Call {
        /// The tool.
        tool: &'a ToolName,
        /// The arguments, checked against the tool's schema.
        arguments: &'a Map<String, Value>,
    },
    /// Whether a call with any arguments at all could be allowed.
    List {
        /// The tool.
        tool: &'a ToolName,
    },
    /// Asking this model without an agent.
    Complete {
        /// The model's name or alias.
        model: &'a str,
    },
    /// Reading the values of this kind behind the placeholders of one's own conversation with the agent.
    Restore {
        /// The kind, such as `CARD`.
        label: &'a str,
    },
}

/// A person's approval, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The user who approved.
    pub by: String,
    /// The roles of this user at that time.
    pub roles: BTreeSet<String>,
}

/// Everything a decision depends on. Only verified facts: nothing in here may come from a client's unverified claims.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The caller.
    pub principal: &'a Principal,
    /// The subject.
    pub subject: Subject<'a>,
    /// The present time.
    pub at: Timestamp,
    /// The agent that acts for the user.
    pub agent: &'a AgentName,
    /// The interface.
    pub via: Via,
    /// Sources of untrusted text in this turn.
    pub taint: &'a BTreeSet<String>,
    /// An approval of exactly this call, if there is one.
    pub approved: Option<&'a Approved>,
}

/// The verdict of policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
    /// Allowed only after an approval by someone with one of these roles.
    NeedsApproval {
        /// Roles of which the approver needs one.
        roles: BTreeSet<String>,
    },
}

impl Verdict {
    /// Returns the name used in logs, rows and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NeedsApproval { .. } => "approval",
        }
    }
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Ids of the policies that decided, sorted; empty if no policy permits.
    pub policies: Vec<Arc<str>>,
    /// Ids of the policies that could not be evaluated. If there are any, the verdict is a refusal.
    pub errors: Vec<Arc<str>>,
    /// One or more sentences for the caller and the model.
    pub reason: String,
    /// Version of the snapshot that decided.
    pub version: Arc<str>,
}

/// A checked set of policies for one tool catalogue. Cheap to share, never changed.
pub struct Snapshot {
    version: Arc<str>,
    vocabulary: Vocabulary,
    policies: Vec<Compiled>,
    by_id: HashMap<cedar_policy::PolicyId, usize>,
    index: Index,
    authorizer: Authorizer,
    ready: ReadyOnes,
    built_in: usize,
    tells_persons_apart: bool,
    asks_for_proof: bool,
    set_aside: Vec<Arc<str>>,
    warnings: Vec<Problem>,
    void: Vec<Problem>,
}

/// One policy.
struct Compiled {
    id: Arc<str>,
    /// The sentence for people.
    reason: Option<String>,
    /// Who may lift this `forbid`.
    approvers: Option<BTreeSet<String>>,
    /// What it reads.
    reads: Reads,
    /// Form for calls with arguments.
    call: Policy,
    /// Form for calls whose arguments are open.
    list: Policy,
}

impl Snapshot {
    /// Returns the first 16 hexadecimal digits of the SHA-256 of all texts and of the vocabulary.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Returns the tools that the set can decide about.
    pub fn tools(&self) -> impl Iterator<Item = &ToolName> {
        self.vocabulary.tools.keys()
    }

    /// Returns the warnings: oddities that may be intended, such as policies about unknown tools, and policies that
    /// every decision must evaluate.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Returns the certain ones among the warnings: a `forbid` (or an exception of a `permit`) that depends on a name
    /// which cannot exist here, and so never holds; a time that never comes.
    #[must_use]
    pub fn void(&self) -> &[Problem] {
        &self.void
    }

    /// Returns the ids of policies without effect, because nothing offers the tools that they name.
    #[must_use]
    pub fn set_aside(&self) -> &[Arc<str>] {
        &self.set_aside
    }

    /// Returns the ids of all policies, including those without effect.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| &*policy.id).chain(self.set_aside.iter().map(|id| &**id))
    }

    /// Returns what is wrong with the name of an unknown tool, and what may have been meant.
    #[must_use]
    pub fn unknown_tool(&self, name: &str) -> Option<String> {
        if self.tools().any(|tool| tool.as_str() == name) {
            return None;
        }
        let help = match closest(name, self.tools().map(ToolName::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write the tools of MCP servers into `tools.json` beside the policies; those of connectors are \
                     taken from their files"
                .to_owned(),
        };
        Some(format!("no tool is named `{name}`; {help}"))
    }

    /// Returns whether a policy distinguishes users with the same rights, so that a result for one of them may not be
    /// valid for another.
    #[must_use]
    pub fn tells_persons_apart(&self) -> bool {
        self.tells_persons_apart
    }

    /// Returns whether a policy depends on the kind of credential.
    #[must_use]
    pub fn asks_for_proof(&self) -> bool {
        self.asks_for_proof
    }

    /// Returns how many of the policies in force are built in.
    #[must_use]
    pub fn built_in(&self) -> usize {
        self.built_in
    }

    /// Returns how many policies are in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Returns whether everything is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Returns the vocabulary as a Cedar schema in JSON, for editors and for policy authors.
    #[must_use]
    pub fn schema(&self) -> &Value {
        &self.vocabulary.schema
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("policies", &self.policies.len())
            .finish()
    }
}
