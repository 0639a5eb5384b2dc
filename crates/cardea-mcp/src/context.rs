//! The context of a call: what a handler, a guard or a layer may know about it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use cardea_core::{
    Code, Error,
    canonical::hex,
    id::{ClientId, RequestId, TenantId, UserId},
    principal::Principal,
};
use rmcp::{
    RoleServer,
    model::{
        ElicitRequest, ElicitRequestParams, ElicitationSchema, InputRequest, InputRequiredResult,
        ProgressNotificationParam, RequestStateCodec, SealOptions,
    },
    service::RequestContext,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::{Session, Stop, extras::Extras, identity::Who, layer::Seat, session::Sessions};

/// Key in a request's `_meta` under which a client names the call, so that it is done only once.
pub const IDEMPOTENCY_META: &str = "dev.cardea/idempotency-key";

const MAX_KEY: usize = 255;

/// How long the user may take to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);

/// The context of a call: its caller and circumstances. Cheap to clone.
#[derive(Clone)]
pub struct Context(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) who: Option<Who>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request: RequestId,
    pub(crate) tool: String,
    pub(crate) trace: Option<String>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: CancellationToken,
    pub(crate) extras: Extras,
    pub(crate) sessions: Sessions,
    pub(crate) wire: Option<Wire>,
    pub(crate) seat: Seat,
}

/// The protocol side of a call.
pub(crate) struct Wire {
    pub(crate) request: RequestContext<RoleServer>,
    pub(crate) responses: BTreeMap<String, Value>,
    pub(crate) state: Option<String>,
    pub(crate) codec: Arc<RequestStateCodec>,
    /// The arguments. An answer counts only for the call that asked: this tool with these arguments.
    pub(crate) arguments: Arc<Value>,
}

impl Wire {
    /// Returns whether this client declares that it shows forms to its user. Otherwise a question would reach no one.
    fn shows_forms(&self) -> bool {
        let asks = self.request.client_capabilities().and_then(|can| can.elicitation);
        // A declaration without a kind of question means forms.
        asks.is_some_and(|asks| asks.form.is_some() || asks.url.is_none())
    }
}

impl Context {
    /// Returns the caller.
    ///
    /// # Errors
    /// [`Code::NotSignedIn`] for an anonymous caller.
    pub fn principal(&self) -> Result<&Principal, Error> {
        self.0.who.as_deref().ok_or_else(|| Error::new(Code::NotSignedIn))
    }

    /// Returns an unambiguous text for the caller, as a key for the caller's data: tenant, issuer and user, and for a
    /// token of Cardea also the issuer that vouched for the user there.
    ///
    /// # Errors
    /// [`Code::NotSignedIn`].
    pub fn owner(&self) -> Result<String, Error> {
        self.0.who.as_ref().map(Who::key).ok_or_else(|| Error::new(Code::NotSignedIn))
    }

    /// Returns the caller, if there is one.
    #[must_use]
    pub fn caller(&self) -> Option<&Principal> {
        self.0.who.as_deref()
    }

    /// Returns the caller's user id.
    ///
    /// # Errors
    /// [`Code::NotSignedIn`].
    pub fn user(&self) -> Result<&UserId, Error> {
        Ok(&self.principal()?.user)
    }

    /// Returns the caller's tenant.
    ///
    /// # Errors
    /// [`Code::NotSignedIn`].
    pub fn tenant(&self) -> Result<&TenantId, Error> {
        Ok(&self.principal()?.tenant)
    }

    /// Returns the client or API key that the caller used.
    #[must_use]
    pub fn client(&self) -> Option<&ClientId> {
        self.caller().and_then(|caller| caller.client.as_ref())
    }

    /// Returns all claims of the caller's verified token.
    #[must_use]
    pub fn claims(&self) -> Option<&Map<String, Value>> {
        match &self.0.who {
            Some(Who::Proved(caller)) => Some(caller.claims()),
            _ => None,
        }
    }

    /// Returns the client address.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// Returns the id of the request, as in logs, audit and error answers.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.0.request
    }

    /// Returns the name of the tool.
    #[must_use]
    pub fn tool(&self) -> &str {
        &self.0.tool
    }

    /// Returns the caller's W3C trace context (`traceparent`), if it sent one.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.0.trace.as_deref()
    }

    /// Returns the key under which this call is to be done once, if the client sent one in [`IDEMPOTENCY_META`]. Keys
    /// are chosen by clients: keep them apart for each tenant and user.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        let key = self.0.wire.as_ref()?.request.meta.get(IDEMPOTENCY_META)?.as_str()?;
        (1..=MAX_KEY).contains(&key.len()).then_some(key)
    }

    /// Refuses an invalid key. WHY: it must not count as none, or the call could be made twice.
    pub(crate) fn check_key(&self) -> Result<(), Error> {
        let sent = self.0.wire.as_ref().and_then(|wire| wire.request.meta.get(IDEMPOTENCY_META));
        if sent.is_some() && self.idempotency_key().is_none() {
            let detail = format!("`{IDEMPOTENCY_META}` is a text of 1 to {MAX_KEY} bytes.");
            return Err(Error::new(Code::BadRequest).detail(detail));
        }
        Ok(())
    }

    /// Returns the time left. `None` without a limit.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns a token that is cancelled when the client cancels or disconnects. Handlers that write decide themselves
    /// where to stop.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.cancel
    }

    /// Returns what the `on_authenticate` hook found out.
    #[must_use]
    pub fn extra<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.extras.get()
    }

    /// Returns the caller's session.
    ///
    /// # Errors
    /// [`Code::NotSignedIn`]: a session belongs to a user.
    pub fn session(&self) -> Result<Session, Error> {
        Ok(self.0.sessions.of(self.principal()?, &self.owner()?))
    }

    /// Reports progress to the client. Does nothing if the client did not ask for it.
    pub async fn progress(&self, done: f64, total: Option<f64>, message: impl Into<Option<String>>) {
        let Some(wire) = &self.0.wire else { return };
        let Some(token) = wire.request.meta.get_progress_token() else { return };
        let mut note = ProgressNotificationParam::new(token, done);
        note.total = total;
        note.message = message.into();
        // WHY: a client that is gone is noticed elsewhere; progress is a courtesy.
        let _ = wire.request.peer.notify_progress(note).await;
    }

    /// Returns rmcp's context of the request, for features without a wrapper here.
    #[must_use]
    pub fn rmcp(&self) -> Option<&RequestContext<RoleServer>> {
        self.0.wire.as_ref().map(|wire| &wire.request)
    }

    /// Returns the answers that came with this call for an input-required result of the handler's own making.
    #[must_use]
    pub fn input_responses(&self) -> (Option<&BTreeMap<String, Value>>, Option<&str>) {
        match &self.0.wire {
            Some(wire) => ((!wire.responses.is_empty()).then_some(&wire.responses), wire.state.as_deref()),
            None => (None, None),
        }
    }

    /// Asks the user a question with a form for `T`, on both wires.
    ///
    /// On the 2026-07-28 wire the handler ends with [`Stop::Input`] and **runs again from its start** once the answer
    /// is available, so ask before any effect. A handler may ask several questions, one after the other, each under a
    /// key of its own: the state that travels with a question holds the answers so far. It is signed for this user,
    /// this tool and these arguments, and expires.
    ///
    /// # Errors
    /// [`Stop::Input`] until the answer is available; [`Code::Denied`] if the user declines; [`Code::BadRequest`] if
    /// the client cannot ask, or the answer is not to this question.
    pub async fn ask<T: JsonSchema + DeserializeOwned>(&self, key: &str, question: &str) -> Result<T, Stop> {
        let cannot = || Error::new(Code::BadRequest).detail("This client cannot ask its user.");
        let wire = self.0.wire.as_ref().filter(|wire| wire.shows_forms()).ok_or_else(cannot)?;
        let params = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: question.to_owned(),
            requested_schema: form::<T>()?,
        };
        let modern = wire.request.protocol_version().is_some_and(|version| version.as_str() >= "2026-07-28");
        let answer = if modern {
            let answers = self.answers(wire);
            match (answers.get(key), wire.responses.contains_key(key)) {
                (Some(answer), _) => answer.clone(),
                // WHY: an answer to a question that was not asked is refused and not asked for again, since the client
                // would not see why.
                (None, true) => {
                    let detail = "The answer does not belong to this call.";
                    return Err(Error::new(Code::BadRequest).detail(detail).into());
                }
                (None, false) => return Err(self.question(wire, key, params, answers)?),
            }
        } else {
            let asked = wire.request.peer.create_elicitation_with_timeout(params, Some(ANSWER_WITHIN));
            let asked = tokio::select! {
                asked = self.0.seat.left_for(asked) => asked,
                () = self.cancelled().cancelled() => {
                    return Err(Error::new(Code::TimeSpent).detail("The client cancelled.").into());
                }
            };
            let answer = asked.map_err(|why| {
                Error::new(Code::BadRequest).detail("The client did not ask its user.").because(why)
            })?;
            serde_json::to_value(answer).map_err(|why| Error::new(Code::Internal).because(why))?
        };
        match (answer.get("action").and_then(Value::as_str), answer.get("content")) {
            (Some("accept"), Some(content)) => T::deserialize(content).map_err(|why| {
                Error::new(Code::BadRequest).detail(format!("The answer does not fit: {why}.")).into()
            }),
            _ => Err(Error::new(Code::Denied).detail("The user declined.").into()),
        }
    }

    /// Builds the question, with the answers so far: a client sends each of them once.
    fn question(
        &self,
        wire: &Wire,
        key: &str,
        params: ElicitRequestParams,
        answers: BTreeMap<String, Value>,
    ) -> Result<Stop, Stop> {
        let request = InputRequest::Elicitation(ElicitRequest::new(params));
        let bound = self.binding(wire);
        let options = SealOptions::new().associated_data(bound.as_bytes()).ttl(ANSWER_WITHIN);
        let asked = Asked { key: key.to_owned(), answers };
        let state = wire.codec.seal_json_with(&asked, &options);
        let state = state.map_err(|why| Error::new(Code::Internal).because(why))?;
        let asked = BTreeMap::from([(key.to_owned(), request)]);
        Ok(Stop::Input(Box::new(InputRequiredResult::new(Some(asked), Some(state)))))
    }

    /// Returns the answers to this call's questions: earlier ones from the state, and the one that came with this
    /// request.
    fn answers(&self, wire: &Wire) -> BTreeMap<String, Value> {
        let bound = self.binding(wire);
        let open = |sealed| wire.codec.open_json_with(sealed, bound.as_bytes()).ok();
        let Some(Asked { key, mut answers }) = wire.state.as_deref().and_then(open) else {
            return BTreeMap::new();
        };
        if let Some(answer) = wire.responses.get(&key) {
            answers.insert(key, answer.clone());
        }
        answers
    }

    fn binding(&self, wire: &Wire) -> String {
        let who = self.0.who.as_ref().map(Who::key).unwrap_or_default();
        format!("{}:{who}{}", who.len(), digest_of(self.tool(), &wire.arguments))
    }
}

/// What travels with a question.
#[derive(Serialize, Deserialize)]
struct Asked {
    /// Key of the question.
    key: String,
    /// Answers to the preceding questions.
    answers: BTreeMap<String, Value>,
}

/// Returns a digest that identifies a call: the tool and exactly these arguments.
fn digest_of(tool: &str, arguments: &Value) -> String {
    let digest = digest::digest(&digest::SHA256, format!("{}:{tool}{arguments}", tool.len()).as_bytes());
    hex(digest.as_ref())
}

fn form<T: JsonSchema>() -> Result<ElicitationSchema, Error> {
    let schema = crate::schema::of::<T>();
    serde_json::from_value(Value::Object(schema)).map_err(|why| {
        Error::new(Code::Misconfigured).because(format!("not a form that clients can show: {why}"))
    })
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("request", &self.0.request)
            .field("tool", &self.0.tool)
            .finish_non_exhaustive()
    }
}

/// A yes-or-no form for [`Context::ask`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct Confirm {
    /// Go on?
    pub confirm: bool,
}
