//! A provider over the network: sends a request and decodes the events of its answer. Every wait is limited.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cardea_core::{
    Result,
    message::{ModelEvent, Prompt},
    secret::ExposeSecret,
    sse,
    time::Millis,
    trace::Along,
};
use cardea_net::{Busy, Egress, Net, NetError, Request, Streaming, Target};
use futures::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tokio::time::{Instant, timeout_at};

use crate::{
    alias::AliasConfig,
    config::{Dialect, ModelsConfig, ProviderConfig, Timeouts},
    failure::{Failure, Trouble},
    tries::Tries,
    wire::{Decoder, Format, Sent, retry_after},
};

/// Limit of bytes that are read of a refusal.
const REFUSAL: usize = 64 * 1024;

/// A configured provider.
pub(crate) struct Provider {
    format: Format,
    base: String,
    /// URLs by what follows the base: as many as there are models.
    targets: Mutex<HashMap<String, Target>>,
    headers: HeaderMap,
    egress: Egress,
    net: Net,
    pub(crate) timeouts: Timeouts,
    dialect: Dialect,
    max_answer: usize,
    max_event: usize,
}

/// A prompt with its trace and its deadline.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) prompt: &'a Prompt,
    pub(crate) along: Option<Along<'a>>,
    pub(crate) deadline: Instant,
}

/// Returns the headers of every request.
fn headers(format: Format, provider: &ProviderConfig) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &provider.headers {
        let mut value = value.expose_secret().parse::<HeaderValue>().ok()?;
        value.set_sensitive(true);
        headers.insert(name.parse::<HeaderName>().ok()?, value);
    }
    let key = provider.api_key.as_ref().map(ExposeSecret::expose_secret);
    for (name, value) in format.headers(key) {
        let mut value = value.parse::<HeaderValue>().ok()?;
        value.set_sensitive(name != "accept");
        headers.insert(HeaderName::from_static(name), value);
    }
    Some(headers)
}

impl ProviderConfig {
    /// Returns the URL at which this provider lists its models, and the headers to send: the cheapest request that
    /// needs a valid key. `None` for the rehearsal model, and for what cannot be sent.
    #[must_use]
    pub fn listing(&self) -> Option<(String, HeaderMap)> {
        let mut headers = headers(Format::of(self.kind)?, self)?;
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Some((format!("{}/models", self.base()), headers))
    }
}

impl Provider {
    /// Creates a provider. `None` for a header or an address that cannot be sent: [`ModelsConfig::problems`] names it.
    pub(crate) fn new(
        format: Format,
        provider: &ProviderConfig,
        config: &ModelsConfig,
        net: Net,
    ) -> Option<Self> {
        let base = provider.base().to_owned();
        let host = base.parse::<http::Uri>().ok()?.host()?.to_owned();
        let headers = headers(format, provider)?;
        Some(Self {
            format,
            base,
            targets: Mutex::default(),
            headers,
            egress: Egress::hosts([host]),
            net,
            timeouts: provider.timeouts.unwrap_or(config.timeouts),
            dialect: provider.dialect(),
            max_answer: config.max_answer.len(),
            max_event: config.max_event.len(),
        })
    }

    /// Sends a prompt and waits for the first visible piece of the answer. Nothing was handed out if this fails.
    pub(crate) async fn ask(
        &self,
        ask: Ask<'_>,
        alias: &AliasConfig,
        tries: &mut Tries<'_>,
    ) -> Result<Answer, Failure> {
        let begun = async {
            let mut answer = self.asked(ask, alias).await?;
            answer.begins(tries).await?;
            Ok(answer)
        };
        begun.await.map_err(|mut failure: Failure| {
            if failure.trouble == Trouble::Silent {
                // The provider has read the prompt, and may still be working on it.
                failure.spent.input = failure.spent.input.max(ask.prompt.tokens());
            }
            failure
        })
    }

    async fn asked(&self, ask: Ask<'_>, alias: &AliasConfig) -> Result<Answer, Failure> {
        let Ask { prompt, along, deadline } = ask;
        if let Some(lack) = self.format.lacks(prompt) {
            return Err(Failure::new(Trouble::Unable, lack));
        }
        let wire = self.format.request(prompt, alias, self.dialect);
        let first_by = deadline.min(Instant::now() + self.timeouts.first.duration());
        let target = self.target(wire.path).map_err(|error| trouble(&error, Trouble::Rejected))?;
        let mut request = Request::to(Method::POST, target, self.egress.clone())
            .json_text(wire.body)
            .headers(self.headers.clone())
            .connect_timeout(self.timeouts.connect.duration())
            .timeout(first_by.saturating_duration_since(Instant::now()))
            .idle_timeout(self.timeouts.idle.duration())
            .well_once_it_speaks()
            .max_body(self.max_answer);
        for (name, value) in along.iter().flat_map(Along::headers) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        let streaming =
            self.net.stream(request).await.map_err(|error| trouble(&error, Trouble::Unreachable))?;
        if !streaming.status.is_success() {
            return Err(self.refusal(streaming, Some(prompt), first_by).await);
        }
        let kind = streaming
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let body = match kind.split(';').next().map(str::trim) {
            Some("application/json") => Body::Document(Vec::new()),
            Some("text/html") => return Err(Failure::garbage("a web page came instead of an answer")),
            // Servers that copy a format are careless with this header: the body is read as events.
            _ => Body::Events(sse::Decoder::new(self.max_event)),
        };
        Ok(Answer {
            streaming: Some(streaming),
            body,
            decoder: self.format.decoder(prompt),
            ready: VecDeque::new(),
            failed: None,
            next_by: first_by,
            deadline,
            along: along.map(Along::alone),
        })
    }

    fn target(&self, path: String) -> Result<Target, NetError> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(&path) {
            return Ok(target.clone());
        }
        let target = Target::parse(&format!("{}{path}", self.base))?;
        targets.insert(path, target.clone());
        Ok(target)
    }

    async fn refusal(&self, mut streaming: Streaming, prompt: Option<&Prompt>, by: Instant) -> Failure {
        let (status, headers) = (streaming.status.as_u16(), streaming.headers.clone());
        let mut body = Vec::new();
        while let Ok(Ok(Some(piece))) = timeout_at(by, streaming.chunk()).await {
            body.extend_from_slice(&piece);
            if body.len() > REFUSAL {
                break;
            }
        }
        let failure = self.format.refusal(status, &body, &Sent::new(prompt, &self.headers));
        let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let hint = retry_after(header).or(failure.retry_after);
        failure.after(hint)
    }

    /// Requests the list of models, to check whether the provider is available and accepts the key. Costs nothing.
    pub(crate) async fn reach(&self) -> Result<(), Failure> {
        let by = Instant::now() + self.timeouts.first.duration().min(Duration::from_secs(5));
        let request = Request::get(&format!("{}/models", self.base), self.egress.clone())
            .map_err(|error| trouble(&error, Trouble::Rejected))?
            .headers(self.headers.clone())
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .timeout(by.saturating_duration_since(Instant::now()));
        let streaming =
            self.net.stream(request).await.map_err(|error| trouble(&error, Trouble::Unreachable))?;
        match streaming.status.as_u16() {
            // Several servers have no such list, but are available.
            200..=299 | 404 | 405 => Ok(()),
            _ => Err(self.refusal(streaming, None, by).await),
        }
    }
}

/// Classifies a network error. `lost` is for a connection that broke.
fn trouble(error: &NetError, lost: Trouble) -> Failure {
    let (trouble, hint) = match error {
        NetError::Refused(_) | NetError::Setup(_) => (Trouble::Forbidden, None),
        NetError::Busy { why: Busy::Bulkhead, retry_after, .. } => (Trouble::Crowded, Some(*retry_after)),
        NetError::Busy { retry_after, .. } => (Trouble::Tripped, Some(*retry_after)),
        NetError::TooLarge { .. } => (Trouble::TooLarge, None),
        error if error.is_timeout() && error.may_have_been_sent() => (Trouble::Silent, None),
        _ => (lost, None),
    };
    Failure::new(trouble, causes(error)).after(hint)
}

/// Returns the whole chain of causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    line
}

enum Body {
    Events(sse::Decoder),
    Document(Vec<u8>),
}

/// An answer in progress.
pub(crate) struct Answer {
    /// `None` once nothing more will be read.
    streaming: Option<Streaming>,
    body: Body,
    decoder: Decoder,
    ready: VecDeque<ModelEvent>,
    failed: Option<Failure>,
    /// Deadline of the next piece, beside the limit of `net`.
    next_by: Instant,
    deadline: Instant,
    /// The request that it is for, for the log.
    along: Option<Along<'static>>,
}

impl Answer {
    /// Waits for the first visible piece. WHY: until then another try, and another model, are possible.
    async fn begins(&mut self, tries: &mut Tries<'_>) -> Result<(), Failure> {
        let mut unseen = 0_usize;
        while let Some(event) = self.next().await? {
            if let ModelEvent::Unseen(bytes) = event {
                tries.unseen(bytes);
                unseen = unseen.saturating_add(bytes);
                continue;
            }
            self.ready.push_front(event);
            break;
        }
        if unseen > 0 {
            self.ready.push_front(ModelEvent::Unseen(unseen));
        }
        Ok(())
    }

    /// Returns the next event; `None` after the end.
    async fn next(&mut self) -> Result<Option<ModelEvent>, Failure> {
        let read = self.read().await;
        read.map_err(|failure| {
            let spent = self.decoder.spent();
            failure.spent(spent)
        })
    }

    async fn read(&mut self) -> Result<Option<ModelEvent>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front().or_else(|| self.decoder.pop()) {
                return Ok(Some(event));
            }
            if let Some(failure) = self.failed.take() {
                return Err(failure);
            }
            let Some(streaming) = &mut self.streaming else { return Ok(None) };
            let piece = match timeout_at(self.next_by, streaming.chunk()).await {
                Ok(piece) => piece.map_err(|error| trouble(&error, Trouble::Cut))?,
                Err(_) => {
                    if self.next_by < self.deadline {
                        streaming.was_silent(); // it had all of its time
                    }
                    return Err(Failure::new(Trouble::Silent, "no piece of the answer came in time"));
                }
            };
            self.next_by = self.deadline;
            let read = match &piece {
                Some(piece) => self.take(piece),
                None => self.end(),
            };
            // WHY: what was parsed before the invalid place is handed out first. How the network splits the bytes must
            // not decide whether the caller sees it.
            self.failed = read.err();
            if piece.is_none() || self.failed.is_some() {
                self.streaming = None;
            } else if self.decoder.ended()
                && let Some(streaming) = self.streaming.take()
            {
                streaming.leave(); // nothing after the end matters
            }
        }
    }

    fn take(&mut self, piece: &Bytes) -> Result<(), Failure> {
        match &mut self.body {
            Body::Document(held) => held.extend_from_slice(piece),
            Body::Events(lines) => {
                let mut events = Vec::new();
                let read = lines.push(piece, &mut events);
                for event in &events {
                    self.decoder.push(event)?;
                }
                read.map_err(unreadable)?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.body, Body::Document(Vec::new())) {
            Body::Document(held) => self.decoder.whole(&held),
            Body::Events(lines) => {
                let mut events = Vec::new();
                lines.finish(&mut events).map_err(unreadable)?;
                for event in &events {
                    self.decoder.push(event)?;
                }
                self.decoder.finish()
            }
        }
    }

    /// Returns the events for the caller. Nothing follows an error.
    pub(crate) fn into_events(self) -> impl Stream<Item = Result<ModelEvent>> + Send {
        stream::unfold(Reading::On(self), |reading| async move {
            let mut answer = match reading {
                Reading::On(answer) => answer,
                Reading::Failed(failure) => return Some((Err(failure.into()), Reading::Over)),
                Reading::Over => return None,
            };
            match answer.next().await {
                Ok(Some(event)) => Some((Ok(event), Reading::On(answer))),
                Ok(None) => None,
                Err(failure) => {
                    let along = answer.along;
                    tracing::warn!(request.id = along.map(|along| display(along.request)), trace.id = along.map(|along| along.here.trace_id()), trouble = failure.trouble.name(), cause = %failure.cause, "a model's answer broke off");
                    Some((Ok(ModelEvent::Spent(failure.spent)), Reading::Failed(failure)))
                }
            }
        })
    }
}

/// How far the events of an answer have been handed out.
#[expect(clippy::large_enum_variant, reason = "made once for each answer")]
enum Reading {
    On(Answer),
    Failed(Failure),
    Over,
}

fn unreadable(error: sse::BadStream) -> Failure {
    match error {
        sse::BadStream::TooLarge(_) => Failure::new(Trouble::TooLarge, error.to_string()),
        sse::BadStream::NotText => Failure::garbage(error.to_string()),
    }
}

/// Returns the pause before the next try: doubled each time, with a random factor between 0.5 and 1.5.
pub(crate) fn backoff(attempt: u32) -> Millis {
    let base = 200_u64.saturating_mul(1 << attempt.min(5));
    let chance = u64::try_from(cardea_core::id::random_bits() % 1_000).unwrap_or(500);
    Millis(base / 2 + base.saturating_mul(chance) / 1_000)
}
