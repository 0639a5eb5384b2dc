//! Which tools a model is offered: those that the caller may call, and of those the ones that the text is about.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cardea_core::{
    agent::Agent,
    message::{Message, estimate_tokens},
    select::{Index, Limits, Wish, tool_text},
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
type Texts = Vec<Embedding>;

/// A catalogue, read once: its words, and its texts as vectors.
struct Known {
    index: Index,
    places: HashMap<String, usize>,
    texts: Vec<Texts>,
}

/// Chooses among tools by what they say of themselves. The choice itself is `cardea_core::select`.
pub(super) struct Selector {
    embedder: Option<Arc<dyn Embedder>>,
    known: Mutex<Option<Arc<Known>>>,
}

/// What tells a tool apart from others.
fn texts_of(spec: &ToolSpec) -> Vec<String> {
    std::iter::once(tool_text(spec)).chain(spec.examples.iter().cloned()).collect()
}

impl Selector {
    pub(super) fn new(embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self { embedder, known: Mutex::default() }
    }

    /// Reads the texts of a new catalogue, once for each version.
    pub(super) async fn learn(&self, catalog: &Catalog) {
        let specs = catalog.specs();
        let mut texts = Vec::with_capacity(specs.len());
        for spec in &specs {
            let made = match &self.embedder {
                Some(embedder) => embedder.embed(texts_of(spec), LEARNING).await.unwrap_or_default(),
                None => Vec::new(),
            };
            texts.push(made);
        }
        let places = specs.iter().enumerate().map(|(at, spec)| (spec.name.to_string(), at)).collect();
        let known = Known { index: Index::new(&specs), places, texts };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
    }

    /// The nearest tools, as many as the agent offers; those that are always offered and those that the conversation
    /// has just used stay. Without vectors words alone decide.
    pub(super) async fn select(
        &self,
        agent: &Agent,
        allowed: Vec<Arc<Tool>>,
        text: &str,
        history: &[Message],
    ) -> Selected {
        let most = usize::from(agent.spec.offered_tools);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(known) = known.filter(|_| allowed.len() > most) else { return Selected { tools: allowed } };
        let place = |tool: &Arc<Tool>| known.places.get(tool.name().as_str()).copied();
        let by_place: HashMap<usize, Arc<Tool>> =
            allowed.iter().filter_map(|tool| Some((place(tool)?, Arc::clone(tool)))).collect();
        let places: Vec<usize> = allowed.iter().filter_map(place).collect();
        let stays = |tool: &&Arc<Tool>| {
            agent.always_offers(tool.name().as_str())
                || history.iter().rev().take(6).any(|said| used(said, tool))
        };
        let keep: Vec<usize> = allowed.iter().filter(stays).filter_map(place).collect();
        let cosines = self.cosines(&known, text).await;
        let wish = Wish { text, cosines: cosines.as_deref(), keep: &keep };
        let chosen = known.index.choose(&places, &wish, Limits { max: most, ..Limits::default() });
        Selected { tools: chosen.tools.iter().filter_map(|at| by_place.get(at).cloned()).collect() }
    }

    /// How near each tool's nearest text is to the question; `None` if the encoder has no time.
    async fn cosines(&self, known: &Known, text: &str) -> Option<Vec<f32>> {
        let asked =
            self.embedder.as_ref()?.embed(vec![text.to_owned()], PATIENCE).await.ok()?.into_iter().next()?;
        let nearest = |texts: &Texts| texts.iter().filter_map(|made| asked.cosine(made)).fold(-1.0, f32::max);
        Some(known.texts.iter().map(nearest).collect())
    }
}

fn used(message: &Message, tool: &Tool) -> bool {
    matches!(message, Message::Tool { name, .. } if name == tool.name().as_str())
}
