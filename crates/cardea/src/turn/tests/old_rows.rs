//! Rows as older versions have written them.

use cardea_core::saga::Way;

use super::*;

#[tokio::test]
async fn a_turn_that_the_first_version_left_open_goes_on() {
    let (house, ann) = (House::new().await, user("ann"));
    let (id, talk) = (TurnId::random(), house.conversation(&ann).await);
    let steps = [(StepId::random(), "refused"), (StepId::random(), "waiting")];
    // What the first version knew of; columns that came later have their defaults.
    let turn = "INSERT INTO turns (id, tenant, owner, user_id, principal, kind, agent, conversation, prompt, state, node, \
                node_fence, fence, reflections, events, input_tokens, cached_tokens, output_tokens, cost_micros, request, \
                commits, taint, started_at, updated_at, deadline_at) \
                VALUES ($1, 'acme', $2, 'ann', $3, 'chat', 'support', $4, 'refund order 17', 'waiting', $5, 1, 3, 1, 2, \
                40, 8, 5, 600, $6, 2, '[\"mail\"]', 7, 8, 9)";
    let step = "INSERT INTO steps (turn, number, id, tenant, call_id, tool, effect, safety, state, args, args_digest, \
                outcome, started_at) VALUES ($1, $2, $3, 'acme', 'c1', 'refund', 'write', 'keyed', $4, '{\"order\":17}', \
                'd', $5, 7)";
    let reason = r#"{"outcome":"failed","reason":"`shop` answered with status 402: no money"}"#;
    let principal = serde_json::to_string(&ann).unwrap();
    let args = args![id, ann.key(), principal, talk, &house.node, RequestId::random()];
    let mut rows = Commit::new().run(turn, args);
    for ((step_id, state), number) in steps.into_iter().zip(1_i64..) {
        let outcome = (state == "refused").then_some(reason);
        rows = rows.run(step, args![id, number, step_id, state, outcome]);
    }
    house.db.commit(rows).await.unwrap();

    let turns = house.process().await;
    let mut turn = turns.claim(id, LIMITS).await.unwrap().unwrap();
    assert_eq!(
        (turn.prompt().as_str(), turn.kind(), turn.principal()),
        ("refund order 17", Kind::Chat, &ann)
    );
    assert_eq!(turn.usage(), Usage { input: 40, cached_input: 8, output: 5 });
    assert_eq!(
        (turn.unpaid(), turn.started_at(), turn.tries()),
        ((turn.usage().total(), 600), Timestamp(7), 1)
    );
    assert_eq!((turn.asked_in(), turn.failure(), turn.conversation()), (None, None, Some(talk)));
    assert_eq!(turn.taint().iter().collect::<Vec<_>>(), ["mail"]);
    let refused = &turn.steps()[0];
    assert_eq!((refused.id(), refused.state()), (steps[0].0, StepState::Refused));
    assert!(
        matches!(refused.outcome(), Some(Outcome::Failed { reason, status: None }) if reason == "`shop` answered with status 402: no money"),
        "{refused:?}"
    );
    let waits = &turn.steps()[1];
    assert_eq!((waits.effect(), waits.repeatable()), (Effect::Write, Repeatable::ByKey));
    assert_eq!((waits.way(), waits.said(), waits.thoughts()), (None::<&Way>, None, None));

    let mut refund = Refund::of(17);
    refund.call.id = "d".to_owned(); // its digest
    let step = turns.start(&mut turn, refund.start(Effect::Write)).await.unwrap();
    assert_eq!(step.id(), steps[1].0, "the step that waited, under its own key");
    turns.record(&mut turn, step, done()).await.unwrap();
    let receipt = turns.close(turn, answer("refunded")).await.unwrap();
    assert_eq!((receipt.usage.total(), receipt.cost_micros, receipt.tools.len()), (45, 600, 2));
    let row = "SELECT fence, commits, steps, input_tokens, state FROM turns WHERE id = $1";
    let row: (i64, i64, i64, i64, String) = house.db.row(row, args![id]).await.unwrap().unwrap();
    assert_eq!(row, (4, 5, 2, 40, "answered".to_owned()));
}

#[tokio::test]
async fn a_turn_of_a_kind_that_this_version_does_not_know_is_left_to_others() {
    let (house, ann) = (House::new().await, user("ann"));
    let turns = house.process().await;
    let turn = Asks::chat(&ann, house.conversation(&ann).await, "hello").fresh(&turns).await;
    let id = turn.id();
    drop(turn);
    let newer = Commit::new().run("UPDATE turns SET kind = 'dream' WHERE id = $1", args![id]);
    house.db.commit(newer).await.unwrap();
    assert_eq!(turns.look(id, LIMITS).await.unwrap_err().code(), Code::Internal);
    let state = "SELECT COUNT(*) FROM turns WHERE id = $1 AND state = 'running' AND ended_at IS NULL";
    assert_eq!(house.count(state, id).await, 1);
}

#[tokio::test]
async fn a_step_whose_effect_or_safety_this_version_does_not_know_is_not_taken_for_another() {
    let (house, ann) = (House::new().await, user("ann"));
    let turns = house.process().await;
    for newer in [
        "UPDATE steps SET effect = 'dream' WHERE turn = $1",
        "UPDATE steps SET safety = 'hoped' WHERE turn = $1",
    ] {
        let mut turn =
            Asks::chat(&ann, house.conversation(&ann).await, "refund order 17").fresh(&turns).await;
        let id = turn.id();
        turns.start(&mut turn, Refund::of(17).start(Effect::Write)).await.unwrap();
        drop(turn);
        assert!(turns.look(id, LIMITS).await.unwrap().is_some());
        house.db.commit(Commit::new().run(newer, args![id])).await.unwrap();
        assert_eq!(turns.look(id, LIMITS).await.unwrap_err().code(), Code::Internal, "{newer}");
    }
}
