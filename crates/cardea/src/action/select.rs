//! Which tools a model is offered: those that the caller may call, and of those the ones that the text is about.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cardea_core::{
    agent::Agent,
    message::{Message, estimate_tokens},
    tool::ToolSpec,
};
use cardea_model::embedder::{Embedder, Embedding};

use super::catalog::{Catalog, Tool};

/// How long a turn waits for the vector of its question; after it, words alone decide.
const PATIENCE: Duration = Duration::from_millis(150);

/// How long reading a new catalogue may take.
const LEARNING: Duration = Duration::from_secs(30);

/// The tools of one turn.
#[derive(Debug, Clone, Default)]
pub struct Selected {
    tools: Vec<Arc<Tool>>,
}

impl Selected {
    /// What the model is told of them.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|tool| tool.spec().clone()).collect()
    }

    /// Their names, in the order in which they are offered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().map(|tool| tool.name().as_str())
    }

    /// What offering them costs, in tokens (an estimate).
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let cost = |tool: &Arc<Tool>| {
            estimate_tokens(&tool.spec().description) + estimate_tokens(&tool.spec().input_schema.to_string())
        };
        self.tools.iter().map(cost).sum()
    }
}

/// The texts of one tool as vectors: what it says of itself, and what people say who want it.
type Texts = Arc<[Embedding]>;

/// Chooses among tools by what they say of themselves.
pub(super) struct Selector {
    embedder: Option<Arc<dyn Embedder>>,
    known: Mutex<HashMap<String, Texts>>,
}

/// What tells a tool apart from others.
fn texts_of(spec: &ToolSpec) -> Vec<String> {
    let name = spec.name.as_str().rsplit("__").next().unwrap_or_default().replace('_', " ");
    let mut texts = vec![format!("{name}: {}", spec.description)];
    texts.extend(spec.examples.iter().cloned());
    texts
}

impl Selector {
    pub(super) fn new(embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self { embedder, known: Mutex::default() }
    }

    /// Reads the texts of a new catalogue, once for each version.
    pub(super) async fn learn(&self, catalog: &Catalog) {
        let Some(embedder) = &self.embedder else { return };
        let mut known = HashMap::new();
        for tool in catalog.all() {
            if let Ok(made) = embedder.embed(texts_of(tool.spec()), LEARNING).await {
                known.insert(tool.name().to_string(), Texts::from(made));
            }
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// The nearest tools, as many as the agent offers; those that are always offered and those that the conversation
    /// has just used are among them. Without vectors all allowed tools are offered, up to the agent's number.
    pub(super) async fn select(
        &self,
        agent: &Agent,
        allowed: Vec<Arc<Tool>>,
        text: &str,
        history: &[Message],
    ) -> Selected {
        let most = usize::from(agent.spec.offered_tools);
        if allowed.len() <= most {
            return Selected { tools: allowed };
        }
        let asked = match &self.embedder {
            Some(embedder) => embedder
                .embed(vec![text.to_owned()], PATIENCE)
                .await
                .ok()
                .and_then(|made| made.into_iter().next()),
            None => None,
        };
        let mut scored: Vec<(f32, Arc<Tool>)> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let near = |tool: &Arc<Tool>| {
                let texts = known.get(tool.name().as_str());
                let nearest = texts
                    .into_iter()
                    .flat_map(|texts| texts.iter())
                    .filter_map(|made| asked.as_ref()?.cosine(made));
                nearest.fold(f32::MIN, f32::max)
            };
            allowed.into_iter().map(|tool| (near(&tool), tool)).collect()
        };
        let kept = |tool: &Tool| {
            agent.always_offers(tool.name().as_str())
                || history.iter().rev().take(6).any(|message| used(message, tool))
        };
        scored.sort_by(|(one, a), (two, b)| {
            kept(b).cmp(&kept(a)).then(two.total_cmp(one)).then_with(|| a.name().cmp(b.name()))
        });
        scored.truncate(most);
        Selected { tools: scored.into_iter().map(|(_, tool)| tool).collect() }
    }
}

fn used(message: &Message, tool: &Tool) -> bool {
    matches!(message, Message::Tool { name, .. } if name == tool.name().as_str())
}
