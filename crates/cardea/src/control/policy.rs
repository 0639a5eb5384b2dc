//! The policy set: read from its folder, checked as a whole, and changed only for one that is good.

use std::{
    path::Path,
    sync::{Arc, PoisonError},
};

use cardea_auth::Caller;
use cardea_core::{
    Code, Error, Result,
    id::AgentName,
    policy::{Decision, Question, Snapshot, Source, Subject, Verdict},
    tool::ToolSpec,
};

use super::Control;

/// A set that allows nothing.
pub(super) fn empty() -> Result<Snapshot> {
    Snapshot::compile(&[Source::built_in()], &[]).map_err(|problems| broken(&problems))
}

fn broken(problems: &[cardea_core::policy::Problem]) -> Error {
    let lines: Vec<String> = problems.iter().take(10).map(ToString::to_string).collect();
    Error::new(Code::Misconfigured).detail(format!("The policies cannot be used:\n{}", lines.join("\n")))
}

/// The texts of a policy folder, sorted by name, and the built-in ones. A folder that is not there is an empty one.
///
/// # Errors
/// `misconfigured` if a file cannot be read.
pub fn load(folder: &Path) -> Result<Vec<Source>> {
    let mut sources = vec![Source::built_in()];
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(sources) };
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "cedar"))
        .collect();
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::new(Code::Misconfigured).detail(format!("`{}` cannot be read: {error}.", path.display()))
        })?;
        sources.push(Source::new(path.display().to_string(), text));
    }
    Ok(sources)
}

impl Control {
    /// Reads the policy folder and takes the set if it fits this catalogue. The old one stays otherwise.
    ///
    /// # Errors
    /// `misconfigured`, with every problem's file, line and column.
    pub fn adopt(&self, tools: &[ToolSpec]) -> Result<()> {
        let sources = load(&self.inner.settings.policies)?;
        let snapshot = Snapshot::compile(&sources, tools).map_err(|problems| broken(&problems))?;
        let mut now = self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        if now.version() != snapshot.version() {
            tracing::info!(policy.version = %snapshot.version(), policy.count = snapshot.len(), "policies adopted");
            for warning in snapshot.warnings() {
                tracing::warn!(policy.warning = %warning);
            }
            *now = Arc::new(snapshot);
        }
        Ok(())
    }

    /// True if the caller could be allowed to call the tool with some arguments, perhaps after an approval.
    #[must_use]
    pub fn may_list(&self, caller: &Caller, agent: &AgentName, via: &'static str, tool: &ToolSpec) -> bool {
        let subject = Subject::List { tool: &tool.name };
        self.ask(caller, agent, via, subject).verdict != Verdict::Deny
    }

    /// Refuses a model that policy does not let the caller ask without an agent.
    ///
    /// # Errors
    /// `denied`, with the policy's reason.
    pub fn may_use_model(&self, caller: &Caller, agent: &AgentName, model: &str) -> Result<()> {
        let decision = self.ask(caller, agent, "openai", Subject::Complete { model });
        match decision.verdict {
            Verdict::Allow => Ok(()),
            _ => Err(Error::new(Code::Denied).detail(decision.reason)),
        }
    }

    fn ask(&self, caller: &Caller, agent: &AgentName, via: &'static str, subject: Subject<'_>) -> Decision {
        self.policies().decide(&Question {
            principal: caller,
            subject,
            at: self.now(),
            agent,
            via,
            taint: &std::collections::BTreeSet::new(),
            approved: None,
        })
    }
}
