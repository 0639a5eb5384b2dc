//! Selects the tools that a model is offered: of those that the caller may call, the ones that fit the text.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cardea_core::{
    agent::Agent,
    select::{Closely, FIND_TOOLS, Index, Limits, Wish, find_tools, tool_text},
    tool::ToolSpec,
};
use cardea_embed::{Pieces, Rarity};
use cardea_model::embedder::{Close, Embedder, Embedding};
use tokio::sync::Notify;

use super::catalog::{Catalog, Tool, tokens};

/// How long a turn waits for the vector of its question. After that, words and the word table decide.
const PATIENCE: Duration = Duration::from_millis(150);

/// The most tools that one search finds.
const FOUND: usize = 5;

/// How long the encoder may take for the texts of one tool.
const READING: Duration = Duration::from_secs(30);

/// The tools offered in one turn.
#[derive(Debug, Clone, Default)]
pub struct Selected {
    tools: Vec<Arc<Tool>>,
    /// Tools that the caller may call and that were left out.
    rest: Vec<Arc<Tool>>,
}

impl Selected {
    /// Returns what the model is told about them.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        let own = self.tools.iter().map(|tool| tool.spec().clone());
        own.chain(self.has_more().then(find_tools)).collect()
    }

    /// Returns true if a tool was left out. The model may then search for more.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Returns true if a guardrail has warned about the description of an offered tool.
    #[must_use]
    pub fn is_warned(&self) -> bool {
        self.tools.iter().any(|tool| tool.is_warned())
    }

    /// Offers these tools too, if they are among those that were left out. True if any were.
    pub fn add<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> bool {
        let before = self.tools.len();
        for name in names {
            if let Some(at) = self.rest.iter().position(|tool| tool.name().as_str() == name) {
                self.tools.push(self.rest.remove(at));
            }
        }
        self.tools.len() > before
    }

    /// Returns their names, in the order in which they are offered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let more = self.has_more().then_some(FIND_TOOLS);
        self.tools.iter().map(|tool| tool.name().as_str()).chain(more)
    }

    /// Returns what offering them costs, in tokens (an estimate).
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let own = self.tools.iter().map(|tool| tool.tokens()).sum::<u64>();
        if self.has_more() { own + tokens(&find_tools()) } else { own }
    }
}

/// A catalogue that was read once: its word index, and its texts as vectors. The texts of a tool are its description
/// and examples of what users say when they want it.
#[derive(Clone)]
struct Known {
    index: Arc<Index>,
    places: Arc<HashMap<String, usize>>,
    texts: Vec<Arc<Texts>>,
}

/// The texts of one tool.
struct Texts {
    said: Vec<String>,
    /// As the encoder has read them; empty if it had no time yet.
    close: Vec<Close>,
    /// As the word table places them.
    glances: Vec<Embedding>,
}

impl Known {
    fn texts(&self, tool: &str) -> Option<&Arc<Texts>> {
        self.texts.get(*self.places.get(tool)?)
    }

    /// Returns the tools nearest to a text, out of those at these places.
    fn choose(&self, places: &[usize], asked: &Asked<'_>, keep: &[usize], most: usize) -> Vec<usize> {
        let cosines = asked.close.as_ref().map(|close| {
            let near = |text: &Close| close.embedding.cosine(&text.embedding);
            nearest(self.texts.iter().map(|texts| texts.close.iter().filter_map(near)))
        });
        let glances = asked.glance.as_ref().map(|glance| {
            nearest(
                self.texts.iter().map(|texts| texts.glances.iter().filter_map(|text| glance.cosine(text))),
            )
        });
        let pieces = asked.close.as_ref().and_then(|close| close.pieces.as_deref());
        let fits = |tools: &[usize]| pieces.map(|asked| self.fits(asked, tools, places)).unwrap_or_default();
        let wish = Wish {
            cosines: cosines.as_deref(),
            glances: glances.as_deref(),
            closely: pieces.map(|_| Closely(&fits as &dyn Fn(&[usize]) -> Vec<[f32; 2]>)),
            keep,
            ..Wish::new(asked.text)
        };
        self.index.choose(places, &wish, Limits { max: most, ..Limits::default() }).tools
    }

    /// Returns how well the tokens of a text and those of each tool's best text cover each other. How common a token
    /// is, is counted over the allowed tools only.
    fn fits(&self, asked: &Pieces, tools: &[usize], allowed: &[usize]) -> Vec<[f32; 2]> {
        let of = |tool: &usize| {
            let texts = self.texts.get(*tool).map(|texts| texts.close.as_slice()).unwrap_or_default();
            texts.iter().filter_map(|text| text.pieces.as_deref())
        };
        let rarity = Rarity::among(allowed.iter().flat_map(of));
        let best = |tool: &usize| {
            let better = |a: &[f32; 2], b: &[f32; 2]| a[0].total_cmp(&b[0]);
            asked.fits(of(tool), &rarity).into_iter().max_by(better).unwrap_or([-1.0; 2])
        };
        tools.iter().map(best).collect()
    }
}

/// A user's text, as far as it could be encoded in time.
struct Asked<'a> {
    text: &'a str,
    close: Option<Close>,
    glance: Option<Embedding>,
}

/// Selects tools by their descriptions. The choice itself is made in `cardea_core::select`.
pub(super) struct Selector {
    embedder: Option<Arc<dyn Embedder>>,
    known: Mutex<Option<Arc<Known>>>,
    /// Notified when something is left to read.
    unread: Notify,
}

/// Returns the texts that distinguish a tool from others.
fn texts_of(spec: &ToolSpec) -> Vec<String> {
    std::iter::once(tool_text(spec)).chain(spec.examples.iter().cloned()).collect()
}

impl Selector {
    pub(super) fn new(embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self { embedder, known: Mutex::default(), unread: Notify::new() }
    }

    /// Takes a new catalogue, and keeps the vectors of tools whose texts have not changed.
    pub(super) fn take(&self, catalog: &Catalog) {
        let specs = catalog.specs();
        let before = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let texts = specs.iter().map(|spec| {
            let said = texts_of(spec);
            let read = before.as_ref().and_then(|before| before.texts(spec.name.as_str()));
            read.filter(|read| read.said == said).map_or_else(|| Arc::new(self.glance(said)), Arc::clone)
        });
        let texts = texts.collect();
        let places = specs.iter().enumerate().map(|(at, spec)| (spec.name.to_string(), at)).collect();
        let known = Known { index: Arc::new(Index::new(&specs)), places: Arc::new(places), texts };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
    }

    fn glance(&self, said: Vec<String>) -> Texts {
        let glance = |text: &String| self.embedder.as_ref()?.glance(text);
        let glances = said.iter().filter_map(glance).collect();
        Texts { said, close: Vec::new(), glances }
    }

    /// Returns when something is left to read.
    pub(super) async fn news(&self) {
        self.unread.notified().await;
    }

    /// Lets the encoder read what is new until `patience` runs out: its time belongs to users' requests. What it did
    /// not get to is announced by [`Self::news`].
    pub(super) async fn learn(&self, patience: Duration) {
        let (known, embedder) = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (Some(known), Some(embedder)) = (known, &self.embedder) else { return };
            (known, embedder)
        };
        let reading = async {
            for (place, texts) in known.texts.iter().enumerate().filter(|(_, texts)| texts.close.is_empty()) {
                if let Ok(close) = embedder.read(texts.said.clone(), READING).await {
                    let (said, glances) = (texts.said.clone(), texts.glances.clone());
                    self.learnt(place, texts, Texts { said, close, glances });
                }
            }
        };
        if tokio::time::timeout(patience, reading).await.is_err() {
            self.unread.notify_one(); // the rest is read later
        }
    }

    /// Stores what was read, unless the catalogue has changed meanwhile.
    fn learnt(&self, place: usize, unread: &Arc<Texts>, read: Texts) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.as_mut().map(Arc::make_mut) else { return };
        if let Some(texts) = known.texts.get_mut(place).filter(|texts| Arc::ptr_eq(texts, unread)) {
            *texts = Arc::new(read);
        }
    }

    /// Returns the nearest tools, as many as the agent offers. Tools that are always offered and tools that the
    /// conversation has just used are kept. While the encoder has no time, words and the word table decide.
    pub(super) async fn select(
        &self,
        agent: &Agent,
        allowed: Vec<Arc<Tool>>,
        text: &str,
        recent: &[String],
    ) -> Selected {
        let most = usize::from(agent.spec.offered_tools);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(known) = known.filter(|_| allowed.len() > most) else {
            return Selected { tools: allowed, rest: Vec::new() };
        };
        let place = |tool: &Arc<Tool>| known.places.get(tool.name().as_str()).copied();
        let by_place: HashMap<usize, Arc<Tool>> =
            allowed.iter().filter_map(|tool| Some((place(tool)?, Arc::clone(tool)))).collect();
        let places: Vec<usize> = allowed.iter().filter_map(place).collect();
        let stays = |tool: &&Arc<Tool>| {
            let name = tool.name().as_str();
            agent.always_offers(name) || recent.iter().any(|used| used == name)
        };
        let keep: Vec<usize> = allowed.iter().filter(stays).filter_map(place).collect();
        let chosen = known.choose(&places, &self.ask(text).await, &keep, most);
        let tools: Vec<_> = chosen.iter().filter_map(|at| by_place.get(at).cloned()).collect();
        let offered = |tool: &Arc<Tool>| tools.iter().any(|other| other.name() == tool.name());
        let rest = allowed.into_iter().filter(|tool| !offered(tool)).collect();
        Selected { tools, rest }
    }

    /// Returns the tools that fit a text, out of those that were left out.
    pub(super) async fn find(&self, selected: &Selected, need: &str) -> Vec<Arc<Tool>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(known) = known else { return selected.rest.iter().take(FOUND).cloned().collect() };
        let placed: Vec<(usize, &Arc<Tool>)> = selected
            .rest
            .iter()
            .filter_map(|tool| Some((known.places.get(tool.name().as_str()).copied()?, tool)))
            .collect();
        let places: Vec<usize> = placed.iter().map(|(place, _)| *place).collect();
        let chosen = known.choose(&places, &self.ask(need).await, &[], FOUND);
        let of = |at: &usize| placed.iter().find(|(place, _)| place == at).map(|(_, tool)| Arc::clone(tool));
        chosen.iter().filter_map(of).collect()
    }

    /// Encodes a user's text, without its vector if the encoder has no time.
    async fn ask<'a>(&self, text: &'a str) -> Asked<'a> {
        let Some(embedder) = &self.embedder else { return Asked { text, close: None, glance: None } };
        let texts = vec![text.to_owned()];
        let close = match embedder.read(texts.clone(), PATIENCE).await {
            Ok(close) => close.into_iter().next(),
            // Its vector may be cached, even if there is no time to look at its tokens.
            Err(_) => {
                let known = embedder.embed(texts, Duration::ZERO).await.unwrap_or_default();
                known.into_iter().next().map(|embedding| Close { embedding, pieces: None })
            }
        };
        Asked { text, close, glance: embedder.glance(text) }
    }
}

/// Returns how near each tool's nearest text is.
fn nearest(tools: impl Iterator<Item = impl Iterator<Item = f32>>) -> Vec<f32> {
    tools.map(|cosines| cosines.fold(-1.0, f32::max)).collect()
}

#[cfg(test)]
mod tests {
    use cardea_core::{journal::Repeatable, tool::Effect};
    use cardea_embed::{DIMS, Vector};
    use cardea_model::embedder::{EncoderId, NotNow};
    use futures::{FutureExt as _, future::BoxFuture};
    use serde_json::json;

    use super::*;
    use crate::action::catalog::Source;

    /// Records what it is asked to read; now and then it has no time.
    struct Reader(EncoderId, Mutex<Vec<String>>, Mutex<bool>);

    impl Reader {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.1.lock().unwrap())
        }
    }

    impl Embedder for Reader {
        fn encoder(&self) -> &EncoderId {
            &self.0
        }

        fn embed(
            &self,
            texts: Vec<String>,
            _within: Duration,
        ) -> BoxFuture<'_, Result<Vec<Embedding>, NotNow>> {
            let vector = Arc::new(Vector::from_floats(&[0.5; DIMS]));
            let one = |_: &String| Embedding {
                encoder: self.0.clone(),
                vector: Arc::clone(&vector),
                truncated: false,
            };
            let made =
                if *self.2.lock().unwrap() { Err(NotNow::Busy) } else { Ok(texts.iter().map(one).collect()) };
            self.1.lock().unwrap().extend(texts);
            std::future::ready(made).boxed()
        }
    }

    fn tool(name: &str, about: &str) -> Arc<Tool> {
        let spec = ToolSpec {
            name: format!("ops__{name}").as_str().into(),
            description: about.into(),
            input_schema: json!({ "type": "object" }),
            effect: Effect::Read,
            idempotent: true,
            sends_outside: false,
            examples: Vec::new(),
            cache: None,
            clears: Vec::new(),
        };
        let source = Source::Mcp { server: "ops".into(), name: name.into() };
        Arc::new(Tool::new(spec, source, Repeatable::No).unwrap())
    }

    /// Reads nothing until it is allowed to.
    struct Slow(EncoderId, tokio::sync::Semaphore);

    impl Embedder for Slow {
        fn encoder(&self) -> &EncoderId {
            &self.0
        }

        fn embed(
            &self,
            texts: Vec<String>,
            _within: Duration,
        ) -> BoxFuture<'_, Result<Vec<Embedding>, NotNow>> {
            async move {
                self.1.acquire().await.unwrap().forget();
                let vector = Arc::new(Vector::from_floats(&[0.5; DIMS]));
                let one = |_: &String| Embedding {
                    encoder: self.0.clone(),
                    vector: Arc::clone(&vector),
                    truncated: false,
                };
                Ok(texts.iter().map(one).collect())
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn a_catalogue_can_be_offered_before_the_encoder_has_read_it() {
        let slow = Arc::new(Slow(EncoderId::new("own"), tokio::sync::Semaphore::new(1)));
        let selector = Selector::new(Some(Arc::<Slow>::clone(&slow)));
        let catalog =
            Catalog::new(vec![tool("refund", "Gives money back."), tool("order", "Looks it up.")]).unwrap();
        selector.take(&catalog);
        selector.learn(Duration::from_millis(20)).await;
        let read = || {
            let known = selector.known.lock().unwrap().clone().unwrap();
            assert_eq!(known.places.len(), 2);
            known.texts.iter().filter(|texts| !texts.close.is_empty()).count()
        };
        assert_eq!(read(), 1, "as far as it came");
        slow.1.add_permits(1);
        selector.news().await;
        selector.learn(Duration::MAX).await;
        assert_eq!(read(), 2);
    }

    #[tokio::test]
    async fn a_catalogue_that_is_made_again_costs_the_encoder_only_what_is_new() {
        let reader = Arc::new(Reader(EncoderId::new("own"), Mutex::default(), Mutex::default()));
        let selector = Selector::new(Some(Arc::<Reader>::clone(&reader)));
        let learn = async |tools: Vec<Arc<Tool>>| {
            selector.take(&Catalog::new(tools).unwrap());
            selector.learn(Duration::MAX).await;
            reader.take().len()
        };
        let (refund, order) = (tool("refund", "Gives money back."), tool("order", "Looks an order up."));
        assert_eq!(learn(vec![Arc::clone(&refund), Arc::clone(&order)]).await, 2);
        assert_eq!(learn(vec![Arc::clone(&refund), Arc::clone(&order)]).await, 0, "nothing has changed");
        let changed = tool("order", "Looks an order up, by its number.");
        *reader.2.lock().unwrap() = true;
        assert_eq!(learn(vec![Arc::clone(&refund), Arc::clone(&changed)]).await, 1);
        *reader.2.lock().unwrap() = false;
        assert_eq!(learn(vec![refund, changed]).await, 1, "what the encoder had no time for");
    }
}
