//! Policy: whether a caller may call a tool, ask a model, or must first have a person's approval.
//!
//! Promises: a [`Snapshot`] is a checked, unchanging set of Cedar policies for one tool catalogue, with a version that
//! changes with every byte of either. [`Snapshot::decide`] evaluates only the policies whose scope can fit the
//! question, so a decision costs the same beside ten policies and beside ten thousand. Whatever no policy permits is
//! refused. Listing asks the same question with the arguments left open: a tool is listed if some arguments could be
//! allowed, perhaps after an approval (see `listing.rs`).
//!
//! Refuses: policies that do not fit the vocabulary, with file, line, column and what to do; every question for which
//! a policy cannot be evaluated, since Cedar would skip an erring `forbid`; every question in which a policy reads what
//! Cedar cannot hold, since it would look absent (see `reads.rs`); an approval by somebody whom the policy
//! that asked for it does not name.
//!
//! Called by `control::permit` and `control::listable`, by `cardea policy test` and `cardea check`. What policies can
//! speak of is told in `docs/guide/policies.md`.

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

/// The policy that holds in every installation: no write that sends data outside after untrusted text has come in,
/// without an approval.
const BUILT_IN: &str = include_str!("built-in.cedar");

/// The role whose people may lift the built-in policy, unless the configuration names another.
pub const APPROVER: &str = "supervisor";

/// A text with policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file's name, for messages.
    pub file: String,
    /// What it says.
    pub text: String,
    /// True for [`BUILT_IN`].
    built_in: bool,
}

impl Source {
    /// A text and where it comes from.
    #[must_use]
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into(), built_in: false }
    }

    /// The built-in policy, with the role whose people may lift it.
    #[must_use]
    pub fn built_in(approver: &str) -> Self {
        let text = BUILT_IN.replace(APPROVER, approver);
        Self { built_in: true, ..Self::new("built-in.cedar", text) }
    }
}

/// Something wrong, or odd, in a policy file.
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

/// What is asked about.
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
    /// The roles that this user had then.
    pub roles: BTreeSet<String>,
}

/// Everything a decision depends on. Only verified facts: nothing in here may come from what a client merely says.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// For what.
    pub subject: Subject<'a>,
    /// Now.
    pub at: Timestamp,
    /// The agent that calls for the user.
    pub agent: &'a AgentName,
    /// The way in.
    pub via: Via,
    /// Where untrusted text came into this turn.
    pub taint: &'a BTreeSet<String>,
    /// An approval of exactly this call, if there is one.
    pub approved: Option<&'a Approved>,
}

/// What policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// No.
    Deny,
    /// Not before somebody with one of these roles has approved it.
    NeedsApproval {
        /// The roles of which the approver must have one.
        roles: BTreeSet<String>,
    },
}

impl Verdict {
    /// The word in logs, rows and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NeedsApproval { .. } => "approval",
        }
    }
}

/// What policy says, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// Ids of the policies that decided, sorted; empty where no policy permits.
    pub policies: Vec<Arc<str>>,
    /// Ids of the policies that could not be evaluated. Not empty means refused.
    pub errors: Vec<Arc<str>>,
    /// One or more sentences for the caller and the model.
    pub reason: String,
    /// The version of the snapshot that decided.
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
    /// For a call with arguments.
    call: Policy,
    /// For a call whose arguments are open.
    list: Policy,
}

impl Snapshot {
    /// The first 16 hexadecimal digits of the SHA-256 of all texts and of the vocabulary.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The tools that it can decide about.
    pub fn tools(&self) -> impl Iterator<Item = &ToolName> {
        self.vocabulary.tools.keys()
    }

    /// What is odd and may be meant so: policies about tools that nobody has, policies that every decision must read.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Of the warnings, the certain ones: a `forbid` (or an exception of a `permit`) that hangs on a name which nobody can
    /// have here, and so holds for nothing; a time that never comes.
    #[must_use]
    pub fn void(&self) -> &[Problem] {
        &self.void
    }

    /// Ids of the policies that count for nothing, since nobody has the tools that they name.
    #[must_use]
    pub fn set_aside(&self) -> &[Arc<str>] {
        &self.set_aside
    }

    /// Ids of all its policies, also of those that count for nothing.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| &*policy.id).chain(self.set_aside.iter().map(|id| &**id))
    }

    /// What is wrong with the name of a tool that nobody has, and what may have been meant.
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

    /// True if one of its policies tells users apart who have the same rights: what is for one of them may then not be
    /// for another.
    #[must_use]
    pub fn tells_persons_apart(&self) -> bool {
        self.tells_persons_apart
    }

    /// True if one of its policies asks by what a user came in.
    #[must_use]
    pub fn asks_for_proof(&self) -> bool {
        self.asks_for_proof
    }

    /// How many of the policies that count are built in.
    #[must_use]
    pub fn built_in(&self) -> usize {
        self.built_in
    }

    /// How many policies count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// True if everything is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The vocabulary as a Cedar schema in JSON, for editors and for people who write policies.
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
