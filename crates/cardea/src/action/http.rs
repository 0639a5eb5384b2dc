//! Executes calls of connectors. One exchange with a service, its secret inserted last, and every end is an outcome.

use std::{collections::HashMap, sync::Arc, time::Duration};

use cardea_auth::Caller;
use cardea_core::{
    Result,
    connector::{Answer, Auth, Connector, Draft, Operation, Placed, scrub, scrub_body},
    id::ToolName,
    journal::Repeatable,
    secret::{ExposeSecret, SecretString},
    time::SharedClock,
    tool::{Attempt, Outcome},
    trace::Along,
};
use cardea_net::{Egress, Net, NetError, Request};
use cardea_store::{Shared, shared::Taken};
use http::{HeaderName, HeaderValue, Method, header};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    catalog::{Source, Tool},
    fault::{Fault, after, in_time},
    grant::{Grant, Opened},
    job::{Acted, Job, Within},
};

/// The pause before a request is sent again, if the service does not name one.
const PAUSE: Duration = Duration::from_millis(200);

/// The executor of one connector.
pub(super) struct Http {
    name: String,
    digest: String,
    auth: Auth,
    /// The installation's own secret; a tenant's sealed one takes precedence.
    secret: Option<SecretString>,
    egress: Egress,
    operations: HashMap<ToolName, Operation>,
    way: Way,
}

/// What all connectors share.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) net: Net,
    pub(super) grant: Grant,
    pub(super) shared: Arc<dyn Shared>,
    pub(super) clock: SharedClock,
}

/// A received answer.
struct Got {
    status: u16,
    body: Option<Vec<u8>>,
    retry_after: Option<Duration>,
}

impl Http {
    pub(super) fn new(connector: Connector, secret: Option<SecretString>, way: Way) -> Self {
        let egress = Egress::hosts(connector.hosts);
        let operations = connector
            .operations
            .into_iter()
            .map(|operation| (operation.spec.name.clone(), operation))
            .collect();
        let Connector { name, digest, auth, .. } = connector;
        Self { name, digest, auth, secret, egress, operations, way }
    }

    /// Returns its operations as tools.
    ///
    /// # Errors
    /// As [`Tool::new`].
    pub(super) fn tools(&self) -> Result<Vec<Tool>> {
        let source = Source::Http { connector: self.name.clone() };
        let tool = |operation: &Operation| {
            let mut tool = Tool::new(operation.spec.clone(), source.clone(), operation.repeatable)?
                .made_of(&self.digest);
            operation.undo.iter().for_each(|undo| tool.undo_with(undo.clone()));
            Ok(tool)
        };
        self.operations.values().map(tool).collect()
    }

    /// Makes one call as the caller. Every end is an outcome.
    pub(super) async fn call(&self, caller: &Caller, tool: &Tool, job: &Job<'_>) -> Acted {
        let failed = |reason: String| Acted::from(job.attempt(tool.effect()).not_done(reason));
        let Some(operation) = self.operations.get(tool.name()) else {
            return failed(format!("`{}` is not described any more.", tool.name()));
        };
        if let Some(reason) = self.too_often(caller, operation).await {
            return failed(reason);
        }
        let opened = match self.way.grant.open(&self.name, &self.auth, self.secret.as_ref(), caller).await {
            Ok(opened) => opened,
            Err(error) => return failed(error.public()),
        };
        let own = Within { time: operation.timeout, whose: "the longest that this operation may take" };
        let within = own.or(job.within);
        let call = Call {
            http: self,
            operation,
            opened: &opened,
            job,
            deadline: Instant::now() + within.time.duration(),
            within,
        };
        let mut acted = call.make().await;
        clean(&mut acted.outcome, &opened.forms);
        acted
    }

    async fn too_often(&self, caller: &Caller, operation: &Operation) -> Option<String> {
        let rate = operation.per_user?;
        let bucket = format!("connector/{}/{}", operation.spec.name, caller.key());
        match self.way.shared.take(&bucket, rate.into(), 1).await {
            Taken::Yes { .. } => None,
            Taken::No { after } => {
                let after = after.map(|after| format!(" Try again in {after}.")).unwrap_or_default();
                Some(format!("One user may call `{}` {rate} only.{after}", operation.spec.name))
            }
        }
    }
}

/// A call in progress.
struct Call<'a> {
    http: &'a Http,
    operation: &'a Operation,
    opened: &'a Opened,
    job: &'a Job<'a>,
    deadline: Instant,
    within: Within,
}

impl Call<'_> {
    async fn make(&self) -> Acted {
        let (operation, job) = (self.operation, self.job);
        // WHY: it is not known whether the first try arrived, and the service can be asked.
        if job.again && operation.repeatable == Repeatable::ByCheck {
            // The service may still be working on it: that it is not there yet does not mean that it never will be.
            let unasked = || self.missed(&Fault::new("cannot be asked about it", true), true);
            return self.look(false).await.unwrap_or_else(unasked);
        }
        let draft = match operation.draft(&job.call.arguments, job.key) {
            Ok(draft) => draft,
            Err(why) => {
                let attempt = job.attempt(operation.spec.effect);
                return attempt.not_done(format!("Nothing was sent: {why}.")).into();
            }
        };
        let acted = self.send(&draft).await;
        if matches!(acted.outcome, Outcome::Unknown { .. })
            && operation.can_look()
            && let Some(known) = self.look(false).await
            && !matches!(known.outcome, Outcome::Unknown { .. })
        {
            return known;
        }
        acted
    }

    /// Sends the request as often as the connector's file allows: once, if a repeat could do harm.
    async fn send(&self, draft: &Draft) -> Acted {
        let operation = self.operation;
        let mut sent_before = self.job.again;
        for attempt in 1..=operation.attempts {
            let (acted, pause) = match self.exchange(draft).await {
                Ok(got) => {
                    let pause = operation.again(got.status).then_some(got.retry_after.unwrap_or(PAUSE));
                    (self.read(&got, sent_before), pause)
                }
                Err(fault) => (self.missed(&fault, sent_before), fault.after),
            };
            let last = attempt == operation.attempts;
            let Some(pause) = pause.filter(|pause| !last && in_time(*pause, self.deadline)) else {
                return acted;
            };
            // INVARIANT: once the fate of a try is unknown, no later refusal makes it known.
            sent_before |= matches!(acted.outcome, Outcome::Unknown { .. });
            tokio::time::sleep(pause).await;
        }
        self.missed(&Fault::new(self.within.passed(), false), sent_before)
    }

    /// Returns the outcome of a try without an answer. `again`: an earlier one may have arrived.
    fn missed(&self, fault: &Fault, again: bool) -> Acted {
        fault.outcome(&self.http.name, Attempt { effect: self.operation.spec.effect, again }).into()
    }

    fn read(&self, got: &Got, repeated: bool) -> Acted {
        let clean = got.body.as_deref().map(|body| scrub_body(body, &self.opened.forms));
        let answer = Answer { status: got.status, body: clean.as_deref() };
        let outcome = self.operation.read(&answer, repeated);
        let done = matches!(outcome, Outcome::Done { .. });
        let way = done.then(|| self.operation.way_back(&self.job.call.arguments, &answer)).flatten();
        Acted { outcome, way }
    }

    /// Asks the service whether the write was done.
    async fn look(&self, settled: bool) -> Option<Acted> {
        let draft = self.operation.look(&self.job.call.arguments, self.job.key).ok()??;
        // This request has a time limit of its own: the call's own time has usually run out by now.
        let late = Call { deadline: Instant::now() + self.within.time.duration(), ..*self };
        let got = late.exchange(&draft).await.ok()?;
        let clean = got.body.as_deref().map(|body| scrub_body(body, &self.opened.forms));
        let answer = Answer { status: got.status, body: clean.as_deref() };
        let outcome = self.operation.looked(&answer, settled);
        let done = matches!(outcome, Outcome::Done { .. });
        let way = done.then(|| self.operation.way_back_found(&self.job.call.arguments, &answer)).flatten();
        Some(Acted { outcome, way })
    }

    async fn exchange(&self, draft: &Draft) -> Result<Got, Fault> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let request =
            self.request(draft)?.own_timeout(left).idle_timeout(left).max_body(self.operation.most());
        let mut answer = match self.http.way.net.stream(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.fault(&error)),
        };
        let status = answer.status.as_u16();
        let retry_after = answer
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| after(value.to_str().ok()?, self.http.way.clock.now()));
        let mut body = Vec::new();
        loop {
            match tokio::time::timeout_at(self.deadline, answer.chunk()).await {
                Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
                Ok(Ok(None)) => return Ok(Got { status, body: Some(body), retry_after }),
                Ok(Err(NetError::TooLarge { .. })) => return Ok(Got { status, body: None, retry_after }),
                Ok(Err(error)) => return Err(self.fault(&error)),
                Err(_) => return Err(Fault::late(self.within)),
            }
        }
    }

    /// Builds the request with its secret. From here on nothing of it is ever printed.
    fn request(&self, draft: &Draft) -> Result<Request, Fault> {
        let odd = |why: &str| Fault::new(why, false);
        let method = Method::from_bytes(draft.method.as_bytes()).map_err(|_| odd("has an unknown method"))?;
        let mut url = draft.url.clone();
        if let Some(Placed::Query(pair)) = &self.opened.placed {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(pair.expose_secret());
        }
        let request = Request::new(method, &url, self.http.egress.clone());
        let mut request = request.map_err(|_| odd("has an address that cannot be used"))?;
        // The connector's file may set the same headers, and takes precedence.
        for (name, value) in self.job.trace.iter().flat_map(Along::headers) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        for (name, value) in &draft.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| odd("has a bad header"))?;
            request =
                request.header(name, HeaderValue::from_str(value).map_err(|_| odd("has a bad header"))?);
        }
        if let Some((kind, body)) = &draft.body {
            request = request.header(header::CONTENT_TYPE, HeaderValue::from_static(kind)).body(body.clone());
        }
        if let Some(Placed::Header(name, value)) = &self.opened.placed {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| odd("has a bad header"))?;
            let value = HeaderValue::from_str(value.expose_secret());
            let mut value = value.map_err(|_| odd("has a secret that cannot be sent"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        Ok(request)
    }

    /// Returns why there is no answer, with nothing of the request in it. A broken connection may be tried again.
    fn fault(&self, error: &NetError) -> Fault {
        let broke = matches!(error, NetError::NotSent { .. } | NetError::MaybeSent { .. });
        Fault { after: broke.then_some(PAUSE), ..Fault::of_net(error, self.within) }
    }
}

/// Removes the secret from an outcome, in whatever spelling it came back.
pub(super) fn clean(outcome: &mut Outcome, forms: &[SecretString]) {
    match outcome {
        Outcome::Done { result } => scrub(result, forms),
        Outcome::Failed { reason, .. } | Outcome::Unknown { reason, .. } => {
            let mut text = Value::String(std::mem::take(reason));
            scrub(&mut text, forms);
            if let Value::String(text) = text {
                *reason = text;
            }
        }
    }
}
