//! Turns a message into a durable turn: finds its conversation, screens its text and writes the question.

use cardea_core::{Code, Result};
use cardea_store::Commit;

use super::{ChatRequest, run::Run};
use crate::{
    observe::Trace,
    turn::{Asker, Before, Begun, Kind, Question},
};

/// The most attempts to open a question, if each time the previous turn ends while this one is being screened.
const TRIES: usize = 3;

/// Opens the turn of a message. Once this returns, the question is durable.
///
/// # Errors
/// `not_found`, `guard_refused`, `idempotency_key_reused`, `in_progress`, `conversation_busy`, or a store error.
pub(super) async fn begin_turn(run: Run<'_>, trace: &Trace, message: &ChatRequest) -> Result<Begun> {
    for _ in 0..TRIES {
        match once(run, trace, message).await {
            Err(error) if error.code() == Code::Conflict => {}
            begun => return begun,
        }
    }
    Err(Code::ConversationBusy.into())
}

/// Tries once to open the turn. Each step is a room.
///
/// # Errors
/// Those of [`begin_turn`], and `conflict` if the conversation's placeholders changed meanwhile; nothing is written
/// then.
async fn once(run: Run<'_>, trace: &Trace, message: &ChatRequest) -> Result<Begun> {
    let Run { app, caller, agent, .. } = run;
    let finding = app.context.find(caller, &agent.name, message.conversation);
    let mut talk = trace.time("conversation", finding).await?; // yours, or not found
    let asker = Asker { principal: caller, agent, trace };
    let digest = || app.vault.digest(&message.whole());
    let key = message.key.as_deref();
    let key = key.map(|key| asker.keyed(Kind::Chat, message.conversation, key, &digest()));
    match app.turns.again(key.as_ref()).await? {
        Before::Done(receipt) => return Ok(Begun::Again(receipt)), // same idempotency key, same answer
        Before::Failed(failed) if talk.is_none() => {
            // A repeat of a failed message goes to the conversation in which it failed.
            talk = app.context.find(caller, &agent.name, failed).await?;
        }
        Before::Failed(_) | Before::None => {}
    }
    let placeholders = app.context.placeholders(talk.as_ref()).await?; // what `[CARD_1]` means here
    let (who, screen) = (run.requester_before(trace.request()), run.screen(&placeholders));
    let screening = app.control.audit_refusal(who, || screen.input(&message.text));
    let screened = trace.time("guard", screening).await; // guard input
    trace.note(|event| event.findings = placeholders.found());
    let prompt = screened?;
    let mut opening = Commit::new();
    let (talk, title) = match talk {
        Some(talk) => (talk.id, None),
        None => {
            // The screened message gives a new conversation its title.
            let title = app.control.audit_refusal(who, || screen.title(&prompt)).await?;
            (app.context.create(&mut opening, caller, &agent.name, &title).id, Some(title))
        }
    };
    let kept = app.context.placeholders_of_question(caller, talk, &placeholders).await?;
    let question = Question::chat(asker, prompt, talk, title.as_ref()).once(key.as_ref());
    let begun = trace.time("begin", app.turns.begin_with(question, opening, kept)).await?;
    Ok(match begun {
        Begun::Fresh(turn) => Begun::Fresh(turn.with_placeholders(placeholders)),
        again @ Begun::Again(_) => again,
    })
}
