//! Stores the answer of a turn in the cache.

use cardea_core::{
    cache::Finished,
    journal::StepState,
    message::Finish,
    select::FIND_TOOLS,
    time::{Millis, Timestamp},
    tool::Sharing,
};

use crate::{
    action::Catalog,
    app::App,
    context::cache::{NewAnswer, Query},
    control::Screened,
    turn::{Step, Turn},
};

/// The longest lifetime of an answer for which a tool was used that does not declare how long its results stay valid.
const UNSAID: Millis = Millis::from_secs(300);

/// Stores an answer that a turn has produced, if it may be reused.
pub(super) async fn keep(
    app: &App,
    query: &Query,
    turn: &Turn,
    answer: (&Screened<String>, Finish),
    catalog: &Catalog,
) {
    // WHY: `[CARD_1]` stands for another card in another conversation.
    if turn.placeholders().any() {
        return;
    }
    let (text, finish) = answer;
    let (usage, micros, good_for) =
        (turn.usage(), turn.cost_micros(), good_for(turn, catalog, app.clock.now()));
    let answered = NewAnswer { text, finish, usage, micros, taint: turn.taint(), good_for };
    let (finished, tags) = (finished(turn, catalog, text, finish), tags(turn, catalog));
    app.context.cache().keep(query, answered, finished, tags).await;
}

/// Returns the facts that decide whether the answer may be reused.
fn finished(turn: &Turn, catalog: &Catalog, text: &str, finish: Finish) -> Finished {
    let shared = |step: &Step| {
        let cache = catalog.get(step.tool().as_str()).and_then(|tool| tool.cache());
        step.tool().as_str() == FIND_TOOLS || cache.is_some_and(|cache| cache.sharing == Sharing::Tenant)
    };
    let any = |state: StepState| turn.steps().iter().any(|step| step.state() == state);
    Finished {
        had_effect: turn.steps().iter().any(|step| step.effect().changes_things()),
        approval: turn.steps().iter().any(|step| step.approval().is_some()),
        refused: any(StepState::Refused),
        failed: any(StepState::Failed) || any(StepState::Unknown),
        cut_short: finish != Finish::Stop,
        empty: text.trim().is_empty(),
        personal: !turn.steps().iter().all(shared),
    }
}

/// Returns what the answer depends on: the tags of all tool results in it.
fn tags(turn: &Turn, catalog: &Catalog) -> Vec<String> {
    let of = |step: &Step| catalog.get(step.tool().as_str()).map(|tool| tool.tags(&step.call().arguments));
    turn.steps().iter().filter_map(of).flatten().collect()
}

/// Returns the longest lifetime of the answer: that of the result in it that expires first.
fn good_for(turn: &Turn, catalog: &Catalog, now: Timestamp) -> Option<Millis> {
    let of = |step: &Step| {
        let hint = catalog.get(step.tool().as_str()).and_then(|tool| tool.cache());
        hint.map_or(UNSAID, |hint| hint.ttl)
    };
    let left = turn.fresh_until().map(|until| until.since(now));
    let used = turn.steps().iter().filter(|step| step.tool().as_str() != FIND_TOOLS);
    used.map(of).chain(left).min()
}
