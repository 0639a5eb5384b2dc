//! One tool call. Chat, MCP and every later route come through here.

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
    control::{CallContext, Control, Permission, Permit, Refused, Ruling, Screened},
    observe::{OTHER, Ruled, Seen},
    turn::{Kind, Start, Step, Turn},
};

/// What came of a call.
#[derive(Debug)]
pub(super) enum Called {
    /// It has ended, well or not; the step knows.
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
    /// The step that lies down.
    pub(super) fn start(&self) -> Start<'_> {
        self.wish.start(Some(&self.decision))
    }
}

/// A call with what is known of its tool.
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

/// One tool call, from a model's or a client's wish to a recorded outcome. A model that was offered only some of its tools
/// may search for more.
///
/// # Errors
/// The code of the limit or room that ended the whole turn. What a model should be told (an unknown tool, wrong
/// arguments, a refusal by policy) is a step that was refused, not an error.
pub(super) async fn tool_call(
    run: Run<'_>,
    turn: &mut Turn,
    call: ToolCall,
    offered: Option<&Selected>,
) -> Result<Called> {
    let Run { app, caller, .. } = run;
    turn.whole()?; // all or nothing, since a step can be taken back
    app.turns.still_wanted(turn).await?; // not stopped by who asked
    turn.another_call()?; // tool calls per turn
    turn.has_time(app.clock.now())?; // nothing is begun that has no time to be answered
    let (target, wish) = match sound(run, turn, call, offered).await? {
        Sound::Call(target, wish) => (target, wish), // there, readable, screened, and as its schema has it
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
    let Ruling { permission, decision, rows } = turn.trace().time("permit", permitting).await?; // policy, taint, approval
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
    let step = trace.time("intent", app.turns.start(turn, wish.start(Some(&decision)))).await?; // journal and audit intent
    let Acted { outcome, way } = perform(run, turn, permit, &tool, &step).await; // cache, or broker with retries
    app.context.cache().clear_tags(&caller.tenant, &tool.clears(&step.call().arguments)).await; // writes
    let screened = app.control.screen_result(run.guard(), turn.placeholders(), outcome); // untrusted text: screened, tainted
    let step = step.taken_back_by(way); // settled now, from all that was returned
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

/// What a wish comes to before policy is asked.
enum Sound<'o> {
    /// A call of something that is there, with arguments that it takes.
    Call(Target<'o>, Wish),
    /// Recorded, and told to the model.
    Refused(Called),
}

/// What is called.
enum Target<'o> {
    /// A tool, if policy allows it.
    Tool(Arc<Tool>),
    /// The search among tools that policy shows and that were left out: nothing leaves Cardea for it.
    Search(&'o Selected),
}

impl Target<'_> {
    /// Why it does not take these arguments, if it does not.
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

/// Finds the tool and looks at the arguments: whether they can be read, what the guardrail says of them, and the schema.
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
    let lost = call.settle(); // the arguments, to the last digit
    let digest = Control::digest(run.caller, &call);
    let screened = screen(run, &mut call); // guardrail: what is held back is not kept either
    let wish = Wish::of(call, digest, tool.as_deref());
    let target = match (tool, more) {
        (Some(tool), _) => Target::Tool(tool),
        (None, Some(offered)) => Target::Search(offered),
        (None, None) => return unseen(run, turn, &wish, hidden.as_deref()).await.map(Sound::Refused),
    };
    let readable = match unreadable.or_else(|| lost.map(|lost| lost.to_string())) {
        Some(wrong) => Err((Code::InvalidArguments, format!("`{}`: {wrong}.", wish.tool))), // it is not what was asked
        None => Ok(()),
    };
    match readable.and_then(|()| checked(run, turn, screened, &target, &wish)) {
        Ok(()) => Ok(Sound::Call(target, wish)),
        Err((code, reason)) => {
            refuse(run.app, turn, wish.start(None), code, &reason).await.map(Sound::Refused)
        }
    }
}

/// The work itself; or an own, earlier result of a read, for as long as the tool says.
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

/// Takes the rows of a decision along. A call that was sent before a crash cannot wait for an approval, and a check of a cached
/// answer asks nobody for one.
///
/// # Errors
/// `upstream_unknown` for a call that an earlier owner of this turn has sent.
async fn note(app: &App, turn: &mut Turn, permission: &Permission, digest: &str, rows: Commit) -> Result<()> {
    match (permission, sent(turn, digest)) {
        (Permission::Waiting(_), Some(step)) => return Err(cut_off(app, turn, step).await?),
        (Permission::Waiting(_), None) if turn.kind() == Kind::Check => {}
        _ => turn.note(rows),
    }
    Ok(())
}

/// Counts a call that has ended, in the meters and in the event of whoever it was made for.
pub(super) fn called(app: &App, turn: &Turn, step: &Step) {
    let name = step.tool().as_str();
    let known = name == FIND_TOOLS || app.action.catalog().get(name).is_some();
    // WHY: what a model makes up is no label of a meter.
    let seen = Seen::from(step);
    app.observe.tool_call(if known { seen } else { Seen { name: OTHER, ..seen } });
    turn.trace().note(|event| event.tools += 1);
}

/// Screens the arguments of a call, and takes them out of it if they are refused: such a call is not made, so nobody needs
/// them any more.
fn screen(run: Run<'_>, call: &mut ToolCall) -> Result<Vec<String>, Refused> {
    let screened = run.app.control.screen_arguments(run.guard(), call);
    if let Err(refused) = &screened {
        call.arguments = refused.withheld();
    }
    screened
}

/// Whether the arguments can go out: what the guardrail said of them, then the tool's schema. If not, why.
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
                turn.note(run.app.control.input_refused(run.requester(turn), &refused)); // a client's own words
            }
            return Err((Code::GuardRefused, refused.public()));
        }
    }
    target.check(&wish.call)
}

/// Around the call: its turn, and the approval that an earlier try of the very same call has waited for.
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

/// A tool that the caller is not shown, or that nobody has: the answer is the same. Where policy hides it, the log says
/// why; who has asked for a person's approval has seen the tool, and is told.
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

/// The step of a write with this digest that an earlier owner of this turn has sent already.
fn sent(turn: &Turn, digest: &str) -> Option<Step> {
    let sent = |step: &&Step| step.is_sent() && step.digest() == digest;
    turn.steps().iter().find(sent).cloned()
}

/// Recorded, and told to the model.
///
/// # Errors
/// `upstream_unknown` for a call that an earlier owner of this turn has sent already: that it may not be made now does
/// not say that it was not done.
async fn refuse(app: &App, turn: &mut Turn, start: Start<'_>, code: Code, reason: &str) -> Result<Called> {
    if let Some(step) = sent(turn, &start.digest) {
        return Err(cut_off(app, turn, step).await?);
    }
    let step = app.turns.refuse(turn, start, code, reason).await?;
    called(app, turn, &step);
    if turn.kind() == Kind::Call {
        turn.trace().note(|event| event.code = Some(code)); // a model is told, and goes on; a client was refused
    }
    Ok(Called::Ended(Box::new(step)))
}

/// Writes down that nobody knows what became of the writes that were sent, of a turn that does not go on with them.
/// True if there are some, or one was being taken back.
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

/// Forgets what a call may have made old: all answers of the tenant if nobody knows which.
async fn make_old(app: &App, tenant: &TenantId, call: Option<&ToolCall>) {
    match call.and_then(|call| app.action.catalog().clears(call)) {
        Some(tags) => app.context.cache().clear_tags(tenant, &tags).await,
        None => app.context.cache().clear_tenant(tenant).await,
    };
}

/// Writes down that nobody knows what became of a step, and gives the error that ends its turn.
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
