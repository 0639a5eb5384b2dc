//! The first commit of a turn, which makes the question durable before anything is done for it.

use cardea_core::{
    Code, Error, Result,
    agent::Agent,
    id::{ApprovalId, ConversationId, MessageId, TenantId, ToolName, TurnId},
    journal::TurnState,
    message::{Message, estimate_tokens},
    principal::Principal,
    time::Timestamp,
};
use cardea_store::{Commit, CommitError, args};
use serde_json::json;

use super::{Kind, Limits, Receipt, Turn, Turns, asked::Asked, writing::Writing};
use crate::{
    control::{Found, Screened},
    observe::Trace,
    once::{Made, Once, TAKEN, fingerprint},
};

/// The caller, the agent and the request of a turn.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The caller.
    pub principal: &'a Principal,
    /// The agent, whose file sets the limits.
    pub agent: &'a Agent,
    /// The trace of the request.
    pub trace: &'a Trace,
}

/// A request with its client's idempotency key.
#[derive(Debug)]
pub struct Keyed {
    owner: String,
    tenant: TenantId,
    kind: Kind,
    key: String,
    fingerprint: String,
}

impl Asker<'_> {
    /// Combines this request with an idempotency key. `named` is the conversation as the client named it, if it did.
    /// `asked` is a keyed digest of everything that the client sent. It tells two requests with the same key apart,
    /// whatever the guardrails make of their words.
    #[must_use]
    pub fn keyed(&self, kind: Kind, named: Option<ConversationId>, key: &str, asked: &str) -> Keyed {
        // WHY: as the client named it, since a repeated first question cannot know the id that its conversation was
        // given.
        let conversation = named.map(|id| id.to_string()).unwrap_or_default();
        // WHY not the prompt: what the guardrails make of the same words changes with their rules.
        let fingerprint = fingerprint([kind.name(), self.agent.name.as_str(), &conversation, asked]);
        let (owner, tenant) = (self.principal.key(), self.principal.tenant.clone());
        Keyed { owner, tenant, kind, key: key.to_owned(), fingerprint }
    }
}

impl Keyed {
    fn once(&self) -> Once<'_> {
        let Self { owner, tenant, kind, key, fingerprint } = self;
        Once { owner, tenant, route: kind.name(), key, fingerprint }
    }
}

/// A question for which a turn is opened.
#[derive(Debug)]
pub struct Question<'a> {
    asker: Asker<'a>,
    kind: Kind,
    prompt: Screened<String>,
    /// Sources of untrusted text that are known so far.
    taint: Vec<String>,
    /// Findings of the guardrails in the question; their kinds go into the audit log.
    found: Found,
    conversation: Option<ConversationId>,
    /// True if there are no earlier messages: the conversation is created with the question, or there is none.
    first: bool,
    key: Option<&'a Keyed>,
}

impl<'a> Question<'a> {
    fn new(asker: Asker<'a>, kind: Kind, prompt: Screened<String>) -> Self {
        let (taint, found) = (Vec::new(), Found::default());
        Self { asker, kind, prompt, taint, found, conversation: None, first: true, key: None }
    }

    /// Creates a message in this conversation, which must be the caller's own. `title` is the title of a conversation
    /// that begins with the message.
    #[must_use]
    pub fn chat(
        asker: Asker<'a>,
        prompt: Screened<String>,
        conversation: ConversationId,
        title: Option<&Screened<String>>,
    ) -> Self {
        let taint = [prompt.taint(), title.map_or(&[], Screened::taint)].concat();
        let (found, conversation, first) = (prompt.found().clone(), Some(conversation), title.is_some());
        Self { taint, found, conversation, first, ..Self::new(asker, Kind::Chat, prompt) }
    }

    /// Creates a single tool call.
    #[must_use]
    pub fn call(asker: Asker<'a>, tool: &ToolName) -> Self {
        Self::new(asker, Kind::Call, Screened::own_words(tool.to_string()))
    }

    /// Creates the question of a turn that checks a cached answer to it.
    #[must_use]
    pub fn check(asker: Asker<'a>, prompt: Screened<String>, taint: Vec<String>) -> Self {
        Self { taint, ..Self::new(asker, Kind::Check, prompt) }
    }

    /// Adds an idempotency key, if there is one.
    #[must_use]
    pub fn once(self, key: Option<&'a Keyed>) -> Self {
        Self { key, ..self }
    }
}

/// Result of [`Turns::begin`].
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub enum Begun {
    /// A new turn, open and durable.
    Fresh(Turn),
    /// The same request was made before; this is its receipt.
    Again(Receipt),
}

/// What is known of an earlier request with the same key.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for each request and taken apart at once")]
pub enum Before {
    /// Nothing.
    None,
    /// It failed in a way that may be temporary, in this conversation, and may be made again.
    Failed(Option<ConversationId>),
    /// It has its receipt.
    Done(Receipt),
}

/// Returns whether the turn changed nothing and failed in a way that may be temporary. The same key may then be used
/// again, as `Retry-After` and the retries of client libraries need it.
fn worth_another_try(receipt: &Receipt) -> bool {
    let again = receipt.error.as_ref().and_then(|failure| failure.retry_after_ms);
    receipt.status == TurnState::Failed && again.is_some()
}

impl Turns {
    /// Looks for an earlier request with the same idempotency key.
    ///
    /// # Errors
    /// `idempotency_key_reused`, `in_progress`, or a store error.
    pub async fn again(&self, key: Option<&Keyed>) -> Result<Before> {
        match key {
            Some(key) => self.known(key).await,
            None => Ok(Before::None),
        }
    }

    /// Opens a turn: its row, the user's message, the idempotency key and the audit entry, in one commit.
    ///
    /// # Errors
    /// `idempotency_key_reused`, `in_progress`, `conversation_busy`, or a store error.
    pub async fn begin(&self, question: Question<'_>) -> Result<Begun> {
        self.begin_with(question, Commit::new(), Commit::new()).await
    }

    /// Opens a turn together with rows of other rooms that must become durable with the question: those that create
    /// its conversation, and those that may be written only when no one else can write there.
    ///
    /// # Errors
    /// As [`Turns::begin`], and `conflict` if a guard of those rows does not hold.
    pub async fn begin_with(&self, question: Question<'_>, opening: Commit, within: Commit) -> Result<Begun> {
        let (key, version, found) = (question.key, &question.asker.agent.version, question.found.clone());
        if let Before::Done(known) = self.again(key).await? {
            return Ok(Begun::Again(known));
        }
        let mut turn = self.fresh(question);
        turn.note(opening);
        if let Some(key) = key {
            let made = Made { turn: Some(turn.id), answer: None };
            turn.note(key.once().claim(made, self.now()));
        }
        self.write_message(&mut turn);
        turn.note(within);
        let mut detail = json!({ "kind": turn.asked.kind.name(), "agent": turn.asked.agent, "version": version, "conversation": turn.asked.conversation,
                                 "prompt_bytes": turn.asked.prompt.len() });
        if let (Some(detail), true) = (detail.as_object_mut(), found != Found::default()) {
            detail.insert("found".to_owned(), json!(found));
        }
        self.audit(&mut turn, "turn.asked", None, detail);
        // WHY: a bare call that only reads is one commit in all; its rows wait for the first write or the end.
        if turn.asked.kind == Kind::Call && key.is_none() {
            return Ok(Begun::Fresh(turn));
        }
        let row = self.row(&turn)?;
        match self.commit(&mut turn, row).await {
            Ok(()) => Ok(Begun::Fresh(turn)),
            Err(CommitError::Conflict(TAKEN)) => {
                // Another request with the same key was faster: the turn is that request's.
                match self.again(key).await? {
                    Before::Done(receipt) => Ok(Begun::Again(receipt)),
                    Before::None | Before::Failed(_) => Err(Code::InProgress.into()),
                }
            }
            Err(CommitError::Conflict("conversation")) => Err(self.busy(turn.asked.conversation).await?),
            // WHY begun: the commit may have arrived after all. The turn is then resumed by itself.
            Err(error @ CommitError::Unknown(_)) => {
                Err(Error::from(error).begun().of_turn(turn.id, turn.asked.conversation))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn fresh(&self, question: Question<'_>) -> Turn {
        let now = self.now();
        let id = TurnId::timed(now);
        let Asker { principal, agent, trace } = question.asker;
        let asked = Asked {
            request: trace.request(),
            place: Some(trace.context()),
            principal: principal.clone(),
            kind: question.kind,
            agent: agent.name.clone(),
            conversation: question.conversation,
            first: question.first,
            prompt: question.prompt,
            limits: Limits::of(agent),
            started: now,
        };
        let mut turn = Turn::new(id, asked, Writing::new(self.inner.held.hold(id).unwrap_or_default()));
        turn.taint_with_all(&question.taint);
        turn.traced(trace.clone())
    }

    /// Looks up an earlier request with the same key. A request that may be made again releases its key.
    async fn known(&self, key: &Keyed) -> Result<Before> {
        let once = key.once();
        let Some(made) = once.made(&self.inner.db, self.now()).await? else { return Ok(Before::None) };
        let sql = "SELECT receipt, ended_at, conversation FROM turns WHERE id = $1";
        let found: Option<(Option<String>, Option<Timestamp>, Option<ConversationId>)> =
            self.inner.db.row(sql, args![made.turn]).await?;
        match found {
            Some((None, Some(_), _)) => {
                Err(Error::new(Code::NotFound).detail("What this request has made was deleted."))
            }
            None | Some((None, None, _)) => {
                let (error, talk) = (Error::new(Code::InProgress), found.and_then(|(.., talk)| talk));
                Err(match made.turn {
                    Some(turn) => error.of_turn(turn, talk).detail(format!("It is the turn `{turn}`.")),
                    None => error,
                })
            }
            Some((Some(receipt), _, talk)) => {
                let receipt: Receipt = serde_json::from_str(&receipt)
                    .map_err(|error| Error::new(Code::Internal).because(error))?;
                if !worth_another_try(&receipt) {
                    return Ok(Before::Done(receipt));
                }
                self.inner.db.commit(once.free(receipt.turn)).await?;
                Ok(Before::Failed(talk))
            }
        }
    }

    /// Returns the error that names the turn occupying the conversation, and what that turn waits for.
    async fn busy(&self, conversation: Option<ConversationId>) -> Result<Error> {
        let sql = "SELECT t.id, t.waiting_for FROM conversations c JOIN turns t ON t.id = c.open_turn WHERE c.id = $1";
        let open: Option<(TurnId, Option<ApprovalId>)> = self.inner.db.row(sql, args![conversation]).await?;
        let error = Error::new(Code::ConversationBusy);
        let Some((turn, approval)) = open else { return Ok(error) };
        let detail = match approval {
            Some(approval) => format!("The turn `{turn}` waits for the approval `{approval}`."),
            None => format!("It is the turn `{turn}`."),
        };
        Ok(error.of_turn(turn, conversation).detail(detail))
    }

    fn write_message(&self, turn: &mut Turn) {
        let Some(conversation) = turn.asked.conversation else { return };
        let (now, id) = (self.now().0, conversation.to_string());
        let body = Message::User { text: turn.asked.prompt.to_string() };
        // INVARIANT: `next_seq` only grows, and only the owner of `open_turn` moves it.
        turn.guard(
            "conversation",
            "UPDATE conversations SET open_turn = $2, next_seq = next_seq + 1, updated_at = $3 \
             WHERE id = $1 AND open_turn IS NULL AND deleted_at IS NULL AND owner = $4",
            args![id.clone(), turn.id, now, turn.asked.principal.key()],
        );
        turn.run(
            "INSERT INTO messages (conversation, seq, id, tenant, turn, role, body, tokens, at) \
             SELECT id, next_seq - 1, $2, tenant, $3, 'user', $4, $5, $6 FROM conversations WHERE id = $1",
            args![
                id,
                MessageId::random(),
                turn.id,
                serde_json::to_string(&body).unwrap_or_default(),
                estimate_tokens(&turn.asked.prompt),
                now
            ],
        );
    }
}
