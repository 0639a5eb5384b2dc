//! Routing: which model a name means, and which one answers when that is unavailable.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cardea_core::{
    Error, Result,
    canonical::canonical,
    error::Code,
    message::{Prompt, Usage},
    time::{Millis, SharedClock},
    trace::Along,
};
use cardea_net::Net;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    Model, ModelStream, Rehearsal, Served,
    alias::AliasConfig,
    config::ModelsConfig,
    embedder::Embedder,
    failure::{Failure, Then},
    provider::{Ask, Provider, backoff},
    tries::Tries,
    wire::Format,
};

/// The models of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Models(Arc<Inner>);

struct Inner {
    config: ModelsConfig,
    providers: BTreeMap<String, Backend>,
    /// For each name, the identity of its models.
    identities: BTreeMap<String, String>,
}

impl Inner {
    fn new(config: ModelsConfig, providers: BTreeMap<String, Backend>) -> Self {
        let one = |name: &str| {
            let alias = config.aliases.get(name);
            let provider = alias.and_then(|alias| config.providers.get(&alias.provider));
            json!([
                name,
                alias.map(|alias| (&alias.provider, &alias.model)),
                provider.map(|provider| (provider.kind.name(), provider.base())),
            ])
        };
        let all = |name: &String| {
            let chain: Vec<Value> = config.chain(name).into_iter().map(one).collect();
            (name.clone(), canonical(&Value::Array(chain)))
        };
        let identities = config.aliases.keys().map(all).collect();
        Self { config, providers, identities }
    }
}

#[derive(Clone)]
enum Backend {
    Wire(Arc<Provider>),
    Own(Arc<dyn Model>),
}

impl Models {
    /// Builds the models that this configuration names. The embedder improves the rehearsal model.
    ///
    /// # Errors
    /// [`Code::Misconfigured`] with the first of [`ModelsConfig::problems`].
    pub fn new(
        config: ModelsConfig,
        net: Net,
        embedder: Option<Arc<dyn Embedder>>,
        clock: SharedClock,
    ) -> Result<Self> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(Error::new(Code::Misconfigured).detail(format!("{problem}.")));
        }
        let mut providers = BTreeMap::new();
        for (name, provider) in &config.providers {
            let backend = match Format::of(provider.kind) {
                None => Backend::Own(Arc::new(Rehearsal::new(embedder.clone(), Arc::clone(&clock))?)),
                Some(format) => {
                    let made = Provider::new(format, provider, &config, net.clone());
                    let made = made.ok_or_else(|| {
                        Error::new(Code::Misconfigured)
                            .detail(format!("`models.providers.{name}` cannot be used."))
                    })?;
                    Backend::Wire(Arc::new(made))
                }
            };
            providers.insert(name.clone(), backend);
        }
        Ok(Self(Arc::new(Inner::new(config, providers))))
    }

    /// Adds a model given by the program: for tests, and for programs with a model of their own.
    #[must_use]
    pub fn with(self, name: &str, model: Arc<dyn Model>) -> Self {
        let mut config = self.0.config.clone();
        let mut providers = self.0.providers.clone();
        let alias = AliasConfig::new(name, name);
        config.aliases.insert(name.to_owned(), alias);
        config.providers.remove(name);
        providers.insert(name.to_owned(), Backend::Own(model));
        Self(Arc::new(Inner::new(config, providers)))
    }

    /// Returns the names that a prompt may use, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.config.aliases.keys().map(String::as_str)
    }

    /// Returns whether a prompt may use this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.0.config.aliases.contains_key(name)
    }

    /// Returns the models behind a name by their providers' names, in the order in which they are tried.
    pub fn behind<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let chain = self.0.config.chain(name).into_iter();
        chain.filter_map(|name| self.0.config.aliases.get(name)).map(|alias| alias.model.as_str())
    }

    /// Returns the identity of the model behind this name and of its fallbacks: a different text as soon as the name
    /// means another provider, address or model. Empty for a name that is not configured.
    #[must_use]
    pub fn identity(&self, name: &str) -> &str {
        self.0.identities.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Checks whether the provider behind a name can be reached and accepts its key. Sends no prompt and costs
    /// nothing.
    ///
    /// # Errors
    /// The error that a prompt would fail with.
    pub async fn reach(&self, name: &str) -> Result<()> {
        let (_, backend) = self.find(name)?;
        match backend {
            Backend::Own(_) => Ok(()),
            Backend::Wire(provider) => provider.reach().await.map_err(Error::from),
        }
    }

    /// Returns the next answer to this transcript, from the model that the prompt names or from one of its fallbacks.
    ///
    /// Ends when the first piece of an answer is available. Until then another try and another provider are possible;
    /// after that the answer is this one or an error in the stream.
    ///
    /// # Errors
    /// [`Code::NotFound`] for a name that is not configured; else the error of the first provider that was asked, with
    /// its retry delay if it gave one.
    pub async fn next(&self, prompt: &Prompt) -> Result<ModelStream> {
        self.next_under(prompt, None, &mut Tries::default()).await
    }

    /// Does the same as part of this trace: the provider gets the W3C Trace Context headers. Each call of a provider
    /// is recorded as it happens.
    ///
    /// # Errors
    /// As [`Models::next`].
    pub async fn next_under<'m>(
        &'m self,
        prompt: &Prompt,
        along: Option<Along<'_>>,
        tries: &mut Tries<'m>,
    ) -> Result<ModelStream> {
        self.find(&prompt.model)?;
        let mut deadline = None;
        let mut first: Option<Failure> = None;
        for name in self.0.config.chain(&prompt.model) {
            let (alias, backend) = self.find(name)?;
            let provider = match backend {
                Backend::Own(model) => {
                    let mut prompt = Prompt { model: name.to_owned(), ..prompt.clone() };
                    let limit = alias.limit(&prompt);
                    prompt.sampling.max_tokens = limit;
                    tries.begins(&alias.model);
                    let answer = if first.is_some() { model.stand_in(prompt) } else { model.next(prompt) };
                    let answer = answer.await.inspect(|_| tries.answers());
                    return answer.map(|answer| answer.named(name, limit)).inspect_err(|error| {
                        tries.failed(error.code().name(), Usage::default());
                    });
                }
                Backend::Wire(provider) => provider,
            };
            // The time limit of the requested model applies to everything.
            let deadline =
                *deadline.get_or_insert_with(|| Instant::now() + provider.timeouts.total.duration());
            let ask = Ask { prompt, along, deadline };
            let failure = match self.patiently(provider, ask, alias, tries).await {
                Ok(answer) => {
                    let served = Served {
                        name: name.to_owned(),
                        provider: alias.provider.clone(),
                        model: alias.model.clone(),
                        limit: alias.limit(prompt),
                    };
                    return Ok(ModelStream::new(served, answer.into_events()));
                }
                Err(failure) => failure,
            };
            tracing::warn!(request.id = along.map(|along| display(along.request)), trace.id = along.map(|along| along.here.trace_id()), model.name = name, model.provider = alias.provider, trouble = failure.trouble.name(), cause = %failure.cause, "a model could not be asked");
            let give_up = failure.trouble.then() == Then::GiveUp || Instant::now() >= deadline;
            let failure = first.get_or_insert(failure);
            if give_up {
                return Err(failure.clone().into());
            }
        }
        Err(first.map_or_else(|| Error::new(Code::Internal), Error::from))
    }

    /// Asks one provider, with retries if they can help.
    async fn patiently<'m>(
        &self,
        provider: &Provider,
        ask: Ask<'_>,
        alias: &'m AliasConfig,
        tries: &mut Tries<'m>,
    ) -> Result<crate::provider::Answer, Failure> {
        let mut attempt = 0;
        loop {
            tries.begins(&alias.model);
            let failure = match provider.ask(ask, alias, tries).await {
                Ok(answer) => {
                    tries.answers();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            tries.failed(failure.trouble.name(), failure.spent);
            let pause = failure.retry_after.unwrap_or_else(|| backoff(attempt));
            let worth = failure.trouble.then() == Then::Again
                && attempt < self.0.config.retries
                && pause <= self.0.config.patience
                && Instant::now().checked_add(pause.duration()).is_some_and(|then| then < ask.deadline);
            if !worth {
                return Err(failure);
            }
            attempt = attempt.saturating_add(1);
            sleep(pause.max(Millis(1)).duration()).await;
        }
    }

    fn find(&self, name: &str) -> Result<(&AliasConfig, &Backend)> {
        let alias = self.0.config.aliases.get(name);
        alias.and_then(|alias| Some((alias, self.0.providers.get(&alias.provider)?))).ok_or_else(|| {
            let name: String = name.chars().take(80).collect();
            Error::new(Code::NotFound).detail(format!("No model is called `{name}`."))
        })
    }
}

impl Model for Models {
    fn next(&self, prompt: Prompt) -> BoxFuture<'_, Result<ModelStream>> {
        Box::pin(async move { Self::next(self, &prompt).await })
    }
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
