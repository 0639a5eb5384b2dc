//! The tests of a policy set: cases that say who may do what.
//!
//! ```toml
//! [[case]]
//! about     = "support gives small refunds"
//! roles     = ["support"]
//! scopes    = ["billing:write"]
//! tool      = "ops__process_refund"
//! arguments = { order_id = "1042", amount = 20.0 }
//! expect    = "allow"            # or "deny", "approval", "listed", "hidden"
//! policy    = "refund-small"     # must be among the deciding policies
//! reason    = "only support"     # must be a part of the reason
//! ```

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Approved, Decision, Installation, Question, Snapshot, Subject, Verdict, Via,
    names::{self, Kind},
};
use crate::{
    agent::Agent,
    form::{self, Problem},
    id::{AgentName, ToolName},
    principal::{Principal, Proof},
    time::Timestamp,
};

/// Agent of a case for which no agent is known.
const NOBODY: &str = "test";

/// A file of cases.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The cases, in order.
    #[serde(default, rename = "case")]
    pub cases: Vec<Case>,
}

/// A question and its expected answer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Description, for people.
    #[serde(default)]
    pub about: String,
    /// The user.
    #[serde(default = "someone")]
    pub user: String,
    /// The user's tenant.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// Issuer of the user. If absent: `test`.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The user's roles.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// The user's scopes.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// Further verified facts about the user.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Tool to call. Exactly one of `tool`, `model` and `restore` is set.
    #[serde(default)]
    pub tool: Option<String>,
    /// Model to ask without an agent.
    #[serde(default)]
    pub model: Option<String>,
    /// Placeholder label (such as `CARD`) whose values are read in the user's own conversation with `agent`.
    #[serde(default)]
    pub restore: Option<String>,
    /// The arguments of the call.
    #[serde(default)]
    pub arguments: BTreeMap<String, Value>,
    /// The calling agent. If absent: each agent that could call; `direct` for models and for `via = "mcp"`.
    #[serde(default)]
    pub agent: Option<String>,
    /// The interface. If absent: `chat`, for models `openai`, for placeholders `api`.
    #[serde(default)]
    pub via: Option<String>,
    /// Sources of untrusted text that came in before.
    #[serde(default)]
    pub taint: BTreeSet<String>,
    /// The hour of the day, in UTC.
    #[serde(default = "noon")]
    #[schemars(range(min = 0, max = 23))]
    pub hour: u8,
    /// The day of the week, in UTC; Monday is 1.
    #[serde(default = "wednesday")]
    #[schemars(range(min = 1, max = 7))]
    pub weekday: u8,
    /// Roles of a person who approved exactly this call. If absent: not approved.
    #[serde(default)]
    pub approved_by: Option<BTreeSet<String>>,
    /// The expected answer.
    pub expect: Expect,
    /// Id of a policy that must be among the deciding ones.
    #[serde(default)]
    pub policy: Option<String>,
    /// Text that the reason must contain.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The expected answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The call is allowed.
    Allow,
    /// The call is refused.
    Deny,
    /// The call waits for an approval.
    Approval,
    /// The tool is in the caller's list.
    Listed,
    /// The tool is not in the caller's list.
    Hidden,
}

fn someone() -> String {
    "someone".to_owned()
}
fn default_tenant() -> String {
    "default".to_owned()
}
const fn noon() -> u8 {
    12
}
const fn wednesday() -> u8 {
    3
}

/// Result of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Number in the file, from 1.
    pub number: usize,
    /// Description, or the question.
    pub about: String,
    /// The decision.
    pub decision: Decision,
    /// Differences from what is expected; empty if the case passes.
    pub faults: Vec<String>,
}

impl Matrix {
    /// Parses a file of cases.
    ///
    /// # Errors
    /// Everything that is wrong with it, with places.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let root = form::parse(text)?;
        let matrix: Self = form::read(&root)?;
        let mut problems = Vec::new();
        for (i, case) in matrix.cases.iter().enumerate() {
            let given = [&case.tool, &case.model, &case.restore].into_iter().flatten().count();
            if given != 1 {
                let key = format!("case[{i}]");
                let place = root.find(&key).map_or(form::Place::Nowhere, |node| node.place.clone());
                problems.push(Problem::new(key, "needs one of `tool`, `model` and `restore`", place));
            }
        }
        if problems.is_empty() { Ok(matrix) } else { Err(problems) }
    }
}

/// The parts of an installation that cases can name.
#[derive(Debug, Clone)]
pub struct Among<'a> {
    /// Its names.
    pub names: &'a Installation,
    /// Its agents.
    pub agents: Vec<&'a Agent>,
}

/// Runs all cases.
///
/// A case about an unknown tool fails, whatever it expects. So does a case about an agent, a model or an issuer that
/// the installation, if it is known, does not have, or about a word that Cardea does not know.
#[must_use]
pub fn run(snapshot: &Snapshot, matrix: &Matrix, among: Option<&Among<'_>>) -> Vec<Report> {
    matrix.cases.iter().enumerate().map(|(i, case)| case.run(snapshot, among, i + 1)).collect()
}

impl Case {
    fn run(&self, snapshot: &Snapshot, among: Option<&Among<'_>>, number: usize) -> Report {
        // WHY: questions about unknown names are always refused, so such a case would prove nothing.
        let unknown = self.unknown(snapshot, among);
        let agents = self.agents(among);
        let mut runs = agents.iter().map(|agent| self.run_as(agent, snapshot, unknown.is_empty()));
        let (mut decision, mut faults) = runs.next().unwrap_or_else(|| self.run_as(NOBODY, snapshot, true));
        let tell = agents.len() > 1;
        let as_agent = |agent: &str, fault: String| {
            if tell { format!("as the agent `{agent}`: {fault}") } else { fault }
        };
        let name = |number: usize| agents.get(number).copied().unwrap_or(NOBODY);
        faults = faults.into_iter().map(|fault| as_agent(name(0), fault)).collect();
        for (number, (other, more)) in runs.enumerate() {
            if faults.is_empty() && !more.is_empty() {
                decision = other;
            }
            faults.extend(more.into_iter().map(|fault| as_agent(name(number + 1), fault)));
        }
        Report { number, about: self.title(), decision, faults: unknown.into_iter().chain(faults).collect() }
    }

    fn run_as(&self, agent: &str, snapshot: &Snapshot, known: bool) -> (Decision, Vec<String>) {
        let decision = self.decide(snapshot, agent);
        let got = match (self.expect, &decision.verdict) {
            (Expect::Listed | Expect::Hidden, Verdict::Deny) => "hidden",
            (Expect::Listed | Expect::Hidden, _) => "listed",
            (_, verdict) => verdict.name(),
        };
        let mut faults = Vec::new();
        let want = self.expect.name();
        if known && got != want {
            faults.push(format!("expected {want}, got {got}: {}", decision.reason));
        }
        if let Some(policy) =
            self.policy.as_ref().filter(|id| !decision.policies.iter().any(|p| **p == ***id))
        {
            faults.push(format!("policy `{policy}` did not decide; those that did: {:?}", decision.policies));
        }
        if let Some(part) = self.reason.as_ref().filter(|part| !decision.reason.contains(part.as_str())) {
            faults.push(format!("the reason does not say \"{part}\": {}", decision.reason));
        }
        (decision, faults)
    }

    /// Returns the unknown names, with those that may have been meant.
    fn unknown(&self, snapshot: &Snapshot, among: Option<&Among<'_>>) -> Vec<String> {
        let names = among.map(|among| among.names);
        let unknown = |kind, name: &str| names::unknown(kind, name, &snapshot.vocabulary, names);
        let of = |kind, name: &Option<String>| name.as_ref().and_then(|name| unknown(kind, name));
        let mut faults: Vec<String> =
            self.tool.as_deref().and_then(|tool| snapshot.unknown_tool(tool)).into_iter().collect();
        faults.extend(of(Kind::Model, &self.model));
        faults.extend(of(Kind::Label, &self.restore));
        faults.extend(of(Kind::Agent, &self.agent));
        faults.extend(of(Kind::Way, &self.via));
        faults.extend(of(Kind::Issuer, &self.issuer));
        faults.extend(self.taint.iter().filter_map(|word| unknown(Kind::Taint, word)));
        let agent = among.zip(self.agent.as_deref());
        let agent =
            agent.and_then(|(among, name)| among.agents.iter().find(|agent| agent.name.as_str() == name));
        if let Some(agent) = agent
            && !self.can_come_from(agent)
        {
            faults.push(format!("the agent `{}` never asks for this: its file does not name it", agent.name));
        }
        faults
    }

    /// Returns whether the agent's file names what the case asks for.
    fn can_come_from(&self, agent: &Agent) -> bool {
        let tool = self.tool.as_ref().is_some_and(|tool| agent.may_use(tool));
        tool || self.restore.as_ref().is_some_and(|label| agent.spec.restore.contains(label))
    }

    /// Returns the agents that the case is tried with: the one that it names, or all that could ask.
    fn agents<'a>(&'a self, among: Option<&'a Among<'_>>) -> Vec<&'a str> {
        if let Some(agent) = &self.agent {
            return vec![agent];
        }
        if self.model.is_some() || self.via() == Via::Mcp {
            return vec![names::DIRECT];
        }
        let all = among.into_iter().flat_map(|among| &among.agents);
        let found: Vec<&str> =
            all.filter(|agent| self.can_come_from(agent)).map(|agent| agent.name.as_str()).collect();
        if found.is_empty() { vec![NOBODY] } else { found }
    }

    /// Returns the interface. If the case sets none, or an impossible one, the server's choice.
    fn via(&self) -> Via {
        let usual = || match (&self.model, &self.restore) {
            (Some(_), _) => Via::OpenAi,
            (None, Some(_)) => Via::Api,
            (None, None) => Via::Chat,
        };
        self.via.as_deref().and_then(Via::parse).unwrap_or_else(usual)
    }

    fn title(&self) -> String {
        if !self.about.is_empty() {
            return self.about.clone();
        }
        let subject = self.tool.as_ref().or(self.model.as_ref()).or(self.restore.as_ref());
        let subject = subject.map(String::as_str).unwrap_or_default();
        format!("{} with roles {:?}: {subject}", self.user, self.roles)
    }

    fn decide(&self, snapshot: &Snapshot, agent: &str) -> Decision {
        let principal = Principal {
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            metadata: self.metadata.iter().map(|(key, text)| (key.clone(), text.as_str().into())).collect(),
            ..Principal::new(
                self.tenant.as_str(),
                self.user.as_str(),
                self.issuer.as_deref().unwrap_or("test"),
                Proof::Jwt,
            )
        };
        let arguments: Map<String, Value> = self.arguments.clone().into_iter().collect();
        let tool = ToolName::new(self.tool.as_deref().unwrap_or_default());
        let agent = AgentName::new(agent);
        let subject = match (&self.model, &self.restore, self.expect) {
            (Some(model), ..) => Subject::Complete { model },
            (None, Some(label), _) => Subject::Restore { label },
            (None, None, Expect::Listed | Expect::Hidden) => Subject::List { tool: &tool },
            (None, None, _) => Subject::Call { tool: &tool, arguments: &arguments },
        };
        let approved = self
            .approved_by
            .as_ref()
            .map(|roles| Approved { by: "somebody-else".to_owned(), roles: roles.clone() });
        snapshot.decide(&Question {
            principal: &principal,
            subject,
            at: self.at(),
            agent: &agent,
            via: self.via(),
            taint: &self.taint,
            approved: approved.as_ref(),
        })
    }

    /// Returns a point in the week that began on Monday, 1970-01-05.
    fn at(&self) -> Timestamp {
        let days = 3 + i64::from(self.weekday);
        Timestamp::from_secs(days * 86_400 + i64::from(self.hour) * 3_600)
    }
}

impl Expect {
    const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Approval => "approval",
            Self::Listed => "listed",
            Self::Hidden => "hidden",
        }
    }
}
