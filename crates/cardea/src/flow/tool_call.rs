//! Runs one tool call. Chat, MCP and every other entry point use this code.

use std::sync::Arc;

use cardea_core::{
    Code, Error, Result,
    id::{ApprovalId, TenantId, ToolName},
    journal::{Repeatable, StepState},
    saga::Way,
    select::FIND_TOOLS,
    tool::{Effect, Outcome, ToolCall},
};
use cardea_store::Commit;

use super::{
    find::{need, search},
    run::Run,
    visible::{Named, find},
};
use crate::{
    action::{Acted, Job, Selected, Tool, Within},
    app::App,
    context::cache::ToolUse,
    control::{CallContext, Control, Permission, Permit, Placeholders, Refused, Ruling, Screened},
    observe::{OTHER, Ruled, Seen},
    turn::{Kind, Start, Step, Turn},
};

/// The result of a call.
#[derive(Debug)]
pub(super) enum Called {
    /// It has ended, successfully or not; the step says which.
    Ended(Box<Step>),
    /// A person must decide first.
    Waiting(Box<Waiting>),
}

/// A call that waits for a person.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) approval: ApprovalId,
    wish: Wish,
    decision: Ruled,
}

impl Waiting {
    /// Returns the step to write when the turn is put to sleep.
    pub(super) fn start(&self) -> Start<'_> {
        self.wish.start(Some(&self.decision))
    }
}

/// A call with what is known about its tool.
#[derive(Debug)]
struct Wish {
    call: ToolCall,
    tool: ToolName,
    effect: Effect,
    repeatable: Repeatable,
    digest: String,
}

impl Wish {
    fn of(call: ToolCall, digest: String, tool: Option<&Tool>) -> Self {
        Self {
            tool: tool.map_or_else(|| ToolName::from(call.name.as_str()), |tool| tool.name().clone()),
            effect: tool.map_or(Effect::Read, Tool::effect),
            repeatable: tool.map_or(Repeatable::No, Tool::repeatable),
            call,
            digest,
        }
    }

    fn start<'a>(&'a self, decision: Option<&'a Ruled>) -> Start<'a> {
        Start {
            call: &self.call,
            tool: &self.tool,
            effect: self.effect,
            repeatable: self.repeatable,
            digest: self.digest.clone(),
            decision,
        }
    }
}

/// Runs one tool call, from the wish of a model or client to a recorded outcome. A model that was offered only some of
/// its tools may also search for more.
///
/// # Errors
/// The error of the limit or room that ended the whole turn. What the model should be told (an unknown tool, wrong
/// arguments, a refusal by policy) is a refused step, not an error.
pub(super) async fn tool_call(
    run: Run<'_>,
    turn: &mut Turn,
    call: ToolCall,
    offered: Option<&Selected>,
) -> Result<Called> {
    let Run { app, caller, .. } = run;
    turn.whole()?; // all or nothing, once a step can be undone
    app.turns.still_wanted(turn).await?; // not cancelled
    turn.another_call()?; // tool calls per turn
    turn.has_time(app.clock.now())?; // time left for the answer
    let (target, wish) = match sound(run, turn, call, offered).await? {
        // The tool exists, and its arguments are readable, screened and valid by its schema.
        Sound::Call(target, wish) => (target, wish),
        Sound::Refused(refused) => return Ok(refused),
    };
    let tool = match target {
        Target::Tool(tool) => tool,
        Target::Search(offered) => {
            let step = search(run, turn, offered, wish.start(None)).await?;
            called(app, turn, &step);
            return Ok(Called::Ended(Box::new(step)));
        }
    };
    let context = call_context(run, turn, &wish);
    let permitting = app.control.permit(caller, &context, tool.spec(), &wish.call);
    // policy, taint, approval
    let Ruling { permission, decision, rows } = turn.trace().time("permit", permitting).await?;
    note(app, turn, &permission, &wish.digest, rows).await?;
    let permit = match permission {
        Permission::Granted(permit) => permit,
        Permission::Waiting(approval) => {
            return Ok(Called::Waiting(Box::new(Waiting { approval, wish, decision })));
        }
        Permission::NotAsked(code, reason) => {
            return refuse(app, turn, wish.start(Some(&decision)), code, &reason).await;
        }
        Permission::Refused(reason) => {
            return refuse(app, turn, wish.start(Some(&decision)), Code::Denied, &reason).await;
        }
    };
    if wish.effect.changes_things() {
        app.auth.still(caller).await?; // not revoked since the turn began
    }
    let trace = turn.trace().clone();
    // journal and audit intent
    let step = trace.time("intent", app.turns.start(turn, wish.start(Some(&decision)))).await?;
    let Acted { outcome, way } = perform(run, turn, permit, &tool, &step).await; // cache, or broker with retries
    app.context.cache().clear_tags(&caller.tenant, &tool.clears(&step.call().arguments)).await; // writes
    // untrusted text: screened, tainted
    let screened = run.screen(turn.placeholders()).result(outcome);
    let step = step.taken_back_by(way); // the undo call is fixed now, from the full result
    let placeholders = app.context.keep_placeholders(caller, turn.conversation(), turn.placeholders()).await;
    turn.note(placeholders);
    let recording = app.turns.record(turn, step, screened);
    let step = trace.time("record", recording).await?; // journal, audit: even if it failed
    called(app, turn, &step);
    match step.outcome() {
        Some(Outcome::Unknown { reason, .. }) => Err(Error::new(Code::UpstreamUnknown).detail(reason)),
        _ => Ok(Called::Ended(Box::new(step))),
    }
}

/// A wish after the checks that come before policy.
enum Sound<'o> {
    /// A call of an existing target with valid arguments.
    Call(Target<'o>, Wish),
    /// The step was refused and recorded, and the model is told.
    Refused(Called),
}

/// What is called.
enum Target<'o> {
    /// A tool, if policy allows it.
    Tool(Arc<Tool>),
    /// The search among tools that policy shows and that were not offered. Nothing leaves Cardea for it.
    Search(&'o Selected),
}

impl Target<'_> {
    /// Returns why the target does not accept these arguments, if it does not.
    fn check(&self, call: &ToolCall) -> Result<(), (Code, String)> {
        match self {
            Self::Tool(tool) => tool.check(call).map_err(|error| (error.code(), error.public())),
            Self::Search(_) if need(call).is_some() => Ok(()),
            Self::Search(_) => {
                Err((Code::InvalidArguments, "Say in `need` what the tool must do.".to_owned()))
            }
        }
    }
}

/// Finds the tool and checks the arguments: whether they can be read, the guardrails, and the schema.
async fn sound<'o>(
    run: Run<'_>,
    turn: &mut Turn,
    mut call: ToolCall,
    offered: Option<&'o Selected>,
) -> Result<Sound<'o>> {
    let more = offered.filter(|offered| call.name == FIND_TOOLS && offered.has_more());
    let (tool, hidden) = match find(run, &call.name) {
        Named::Visible(tool) => (Some(tool), None), // visible to this caller, or unknown
        Named::Hidden(tool) => (None, Some(tool)),
        Named::Nothing => (None, None),
    };
    let tool = tool.filter(|tool| turn.kind() != Kind::Check || !tool.effect().changes_things()); // a check only reads
    let unreadable = call.unreadable();
    let lost = call.settle(); // parses the arguments without losing digits
    let digest = Control::digest(run.caller, &call);
    let screened = screen(run, &mut call); // guardrail: refused arguments are not stored
    let wish = Wish::of(call, digest, tool.as_deref());
    let target = match (tool, more) {
        (Some(tool), _) => Target::Tool(tool),
        (None, Some(offered)) => Target::Search(offered),
        (None, None) => return unseen(run, turn, &wish, hidden.as_deref()).await.map(Sound::Refused),
    };
    let readable = match unreadable.or_else(|| lost.map(|lost| lost.to_string())) {
        Some(wrong) => Err((Code::InvalidArguments, format!("`{}`: {wrong}.", wish.tool))), // not what was asked for
        None => Ok(()),
    };
    match readable.and_then(|()| checked(run, turn, screened, &target, &wish)) {
        Ok(()) => Ok(Sound::Call(target, wish)),
        Err((code, reason)) => {
            refuse(run.app, turn, wish.start(None), code, &reason).await.map(Sound::Refused)
        }
    }
}

/// Executes the call, or returns a cached result of the same read, for as long as the tool allows.
async fn perform(run: Run<'_>, turn: &mut Turn, permit: Permit, tool: &Tool, step: &Step) -> Acted {
    let Run { app, caller, agent, .. } = run;
    let (call, cache) = (step.call(), app.context.cache());
    let used = ToolUse::new(caller, agent.name.as_str(), tool.spec(), tool.origin(), call)
        .tagged(tool.tags(&call.arguments));
    let kept = if turn.kind() == Kind::Check { None } else { cache.tool(&used).await };
    if let Some((kept, until)) = kept {
        turn.as_fresh_as(until);
        return kept.into();
    }
    let span = turn.trace().stage("tool").execute_tool(step.tool().as_str(), &call.id);
    let key = step.id().to_string();
    let (time, whose) = turn.call_time(app.clock.now());
    let (within, trace) = (Within { time, whose }, Some(span.along()));
    let job = Job { call, key: &key, digest: step.digest(), again: step.again(), within, trace };
    let fresh = app.action.execute(permit, caller, tool, job).await;
    app.observe.tool_took(step.tool(), &fresh.outcome, span.so_far());
    drop(span);
    cache.keep_tool(&used, &fresh.outcome).await;
    fresh
}

/// Adds the rows of a decision to the turn's next commit. A call that was sent before a crash cannot wait for an
/// approval, and the recheck of a cached answer never asks a person.
///
/// # Errors
/// `upstream_unknown` if the decision must wait for a person and an earlier owner of this turn has already sent the
/// call.
async fn note(app: &App, turn: &mut Turn, permission: &Permission, digest: &str, rows: Commit) -> Result<()> {
    match (permission, sent(turn, digest)) {
        (Permission::Waiting(_), Some(step)) => return Err(cut_off(app, turn, step).await?),
        (Permission::Waiting(_), None) if turn.kind() == Kind::Check => {}
        _ => turn.note(rows),
    }
    Ok(())
}

/// Counts an ended call in the metrics and in the event of its request.
pub(super) fn called(app: &App, turn: &Turn, step: &Step) {
    let name = step.tool().as_str();
    let known = name == FIND_TOOLS || app.action.catalog().get(name).is_some();
    // WHY: a made-up tool name must not become a label.
    let seen = Seen::from(step);
    app.observe.tool_call(if known { seen } else { Seen { name: OTHER, ..seen } });
    turn.trace().note(|event| event.tools += 1);
}

/// Screens the arguments of a call. Refused arguments are removed from it: the call is not made, so they are not
/// needed.
fn screen(run: Run<'_>, call: &mut ToolCall) -> Result<Vec<String>, Refused> {
    let screened = run.screen(&Placeholders::default()).arguments(call);
    if let Err(refused) = &screened {
        call.arguments = refused.withheld();
    }
    screened
}

/// Checks the arguments: the guardrail's answer first, then the tool's schema. Returns why they were refused.
fn checked(
    run: Run<'_>,
    turn: &mut Turn,
    screened: Result<Vec<String>, Refused>,
    target: &Target<'_>,
    wish: &Wish,
) -> Result<(), (Code, String)> {
    match screened {
        Ok(taint) => turn.taint_with_all(&taint),
        Err(refused) => {
            if turn.kind() == Kind::Call {
                turn.note(run.app.control.input_refused(run.requester(turn), &refused)); // the client wrote them itself
            }
            return Err((Code::GuardRefused, refused.public()));
        }
    }
    target.check(&wish.call)
}

/// Returns the context of the call for policy: its turn, and the approval that an earlier try of exactly this call has
/// waited for.
fn call_context<'a>(run: Run<'a>, turn: &'a Turn, wish: &Wish) -> CallContext<'a> {
    let same = |step: &&Step| step.is_open() && step.digest() == wish.digest;
    CallContext {
        turn: turn.id(),
        step: turn.next_step(),
        request: turn.request(),
        agent: &run.agent.name,
        via: run.via,
        taint: turn.taint(),
        approval: turn.steps().iter().find(same).and_then(Step::approval),
    }
}

/// Refuses a tool that is hidden from the caller or does not exist, with the same answer. If policy hides it, the log
/// says why. A caller who has asked for a person's approval has seen the tool, and is told the reason.
async fn unseen(run: Run<'_>, turn: &mut Turn, wish: &Wish, hidden: Option<&Tool>) -> Result<Called> {
    let app = run.app;
    let nothing = format!("There is no tool `{}` for you.", wish.call.name);
    let ruled = hidden.and_then(|tool| app.control.unseen(run.requester(turn), tool.spec(), &wish.call));
    let Some((ruled, rows)) = ruled else {
        return refuse(app, turn, wish.start(None), Code::NotFound, &nothing).await;
    };
    turn.note(rows);
    let was_seen = call_context(run, turn, wish).approval.is_some();
    let (code, told) = if was_seen { (Code::Denied, &*ruled.reason) } else { (Code::NotFound, &*nothing) };
    refuse(app, turn, wish.start(Some(&ruled)), code, told).await
}

/// Returns the step with this digest that an earlier owner of this turn has already sent.
fn sent(turn: &Turn, digest: &str) -> Option<Step> {
    let sent = |step: &&Step| step.is_sent() && step.digest() == digest;
    turn.steps().iter().find(sent).cloned()
}

/// Records a refused step. The model is told the reason.
///
/// # Errors
/// `upstream_unknown` if an earlier owner of this turn has already sent the call: a refusal now does not mean that it
/// was not done.
async fn refuse(app: &App, turn: &mut Turn, start: Start<'_>, code: Code, reason: &str) -> Result<Called> {
    if let Some(step) = sent(turn, &start.digest) {
        return Err(cut_off(app, turn, step).await?);
    }
    let step = app.turns.refuse(turn, start, code, reason).await?;
    called(app, turn, &step);
    if turn.kind() == Kind::Call {
        turn.trace().note(|event| event.code = Some(code)); // a model goes on; a client was refused
    }
    Ok(Called::Ended(Box::new(step)))
}

/// Records the outcome of all sent writes as unknown, for a turn that does not continue with them. Returns true if
/// there are any, or if an undo was under way.
pub(super) async fn give_up_sent(app: &App, turn: &mut Turn) -> Result<bool> {
    let sent: Vec<Step> = turn.steps().iter().filter(|step| step.is_sent()).cloned().collect();
    let mut any = !sent.is_empty();
    for step in turn.steps().iter().filter(|step| step.is_undoing()) {
        any = true;
        let call = step.way().and_then(|way| Way::as_call(way, String::new()));
        make_old(app, &turn.principal().tenant, call.as_ref()).await;
    }
    for step in sent {
        cut_off(app, turn, step).await?;
    }
    Ok(any)
}

/// Clears the cache entries that a call may have outdated: all of the tenant's if it is not known which.
async fn make_old(app: &App, tenant: &TenantId, call: Option<&ToolCall>) {
    match call.and_then(|call| app.action.catalog().clears(call)) {
        Some(tags) => app.context.cache().clear_tags(tenant, &tags).await,
        None => app.context.cache().clear_tenant(tenant).await,
    };
}

/// Records the outcome of a step as unknown, and returns the error that ends its turn.
pub(super) async fn cut_off(app: &App, turn: &mut Turn, step: Step) -> Result<Error> {
    let error = Error::new(Code::UpstreamUnknown).detail(format!("The call was `{}`.", step.tool()));
    if step.state() == StepState::Started {
        if step.effect().changes_things() {
            make_old(app, &turn.principal().tenant, Some(step.call())).await;
        }
        let reason = "Cardea was stopped while the service worked on it, and the service cannot be asked.";
        let unknown = Screened::own_words(Outcome::unknown(reason));
        app.turns.record(turn, step, unknown).await?;
    }
    Ok(error)
}
