//! Puts the answers that are configured at start into the cache.

use cardea_core::{
    Result,
    id::AgentName,
    principal::{Principal, Proof},
};

use crate::{
    app::App,
    context::cache::{QueryContext, Reuse, Warm},
    flow::{Run, visible},
};

/// How often this looks whether tools or policies have changed: the keys of the answers depend on them.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Keeps the answers of `cache.warm` under the keys that belong to the present tools and policies.
pub(super) async fn keep_warm(app: App) {
    if app.warm.is_empty() {
        return;
    }
    let mut done = String::new();
    loop {
        let now = format!("{} {}", app.control.policies().version(), app.action.catalog().version());
        if now != done && app.warm_up().await {
            match app.unreached() {
                Some(why) => tracing::warn!("{why}"),
                None => tracing::info!(answers = app.warm.len(), "the cache is warm"),
            }
            done = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl App {
    /// Returns why known answers reach nobody while these policies are in force.
    fn unreached(&self) -> Option<&'static str> {
        let policies = self.control.policies();
        if policies.asks_for_proof() {
            return Some(
                "a policy asks by what users come in: known answers are given to nobody who comes with a token or a key",
            );
        }
        let everybodys = self.warm.iter().any(|warm| warm.user.is_none());
        (everybodys && policies.tells_persons_apart())
            .then_some("a policy asks who a user is: known answers without `user` are given to nobody")
    }

    /// Stores all known answers in the cache. False if its store is unavailable.
    pub async fn warm_up(&self) -> bool {
        for warm in self.warm.iter() {
            match self.warm_one(warm).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => tracing::warn!(error.code = error.code().name(), "an answer was not kept"),
            }
        }
        true
    }

    async fn warm_one(&self, warm: &Warm) -> Result<bool> {
        let agent = self.find_agent(&AgentName::from(warm.agent.as_str()))?;
        let caller = self.auth.resume(whose(warm), self.clock.now()).await?;
        let run = Run::chat(self, &caller, &agent);
        let tools = visible(run);
        let policies = self.control.policies();
        let around = QueryContext {
            conversation: None,
            history: &[],
            policy: policies.version(),
            by_person: policies.tells_persons_apart(),
            by_proof: policies.asks_for_proof(),
            tools: &tools.version,
            guard: run.guard().unwrap_or_default(),
            model: self.models.identity(&agent.spec.model),
            reuse: Reuse::Allowed,
        };
        let query = self.context.cache().query(&caller, &agent, &warm.question, &around);
        Ok(self.context.cache().warm(query, warm).await)
    }
}

/// Returns the principal who would ask.
fn whose(warm: &Warm) -> Principal {
    Principal {
        tenant: warm.tenant.as_str().into(),
        user: warm.user.as_deref().unwrap_or("cardea").into(),
        client: warm.client.as_deref().map(Into::into),
        issuer: warm.issuer.clone().unwrap_or_else(|| "cardea".to_owned()),
        roles: warm.roles.iter().cloned().collect(),
        scopes: warm.scopes.iter().cloned().collect(),
        actors: Vec::new(),
        proof: Proof::Embedded,
        address: None,
        metadata: warm.metadata.clone(),
    }
}
