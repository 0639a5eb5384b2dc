//! A choice of tools that missed, and the way out of it.

use cardea_testkit::{World, model::Act};
use serde_json::{Value, json};

/// The names of the tools that the model was offered with its n-th prompt.
fn offered(world: &World, at: usize) -> Vec<String> {
    let body = world.model().seen()[at].body.clone();
    let tools = body["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn find(need: &str) -> Act {
    Act::call("find_tools", json!({ "need": need }))
}

#[tokio::test]
async fn a_model_that_misses_a_tool_asks_for_it_and_calls_it_in_the_same_turn() {
    let acts = [
        find("give money back for an order"),
        Act::call("ops__process_refund", json!({ "order_id": "ORD-17", "amount": 20, "reason": "goodwill" })),
        Act::say("It is refunded."),
    ];
    let world = World::plan().model(acts).agent("offered_tools = 2\n").start().await;
    let ann = world.user("support");
    let turn = ann.asks("Which tickets are open?").await;
    let receipt = turn.answers("It is refunded.").await;
    assert_eq!(world.shop().refunds(17).await, 1);
    let (before, after) = (offered(&world, 0), offered(&world, 1));
    assert_eq!(before.len(), 3, "two tools and the way out: {before:?}");
    assert_eq!(before.last().map(String::as_str), Some("find_tools"));
    assert!(!before.contains(&"ops__process_refund".to_owned()), "{before:?}");
    assert!(after.contains(&"ops__process_refund".to_owned()), "{after:?}");
    assert!(before.iter().all(|name| after.contains(name)), "nothing that was offered is taken away");
    assert_eq!(receipt["tools"][0]["tool"], "find_tools");

    // What was used stays on offer in the next turn, whatever that is about.
    world.model().then(Act::say("Hello."));
    ann.goes_on(turn.conversation(), "Which tickets are open?").await.answers("Hello.").await;
    let next = offered(&world, 3);
    assert!(next.contains(&"ops__process_refund".to_owned()) && next.len() == 4, "{next:?}");
}

#[tokio::test]
async fn a_search_finds_only_what_the_caller_may_call_and_is_bounded_like_any_call() {
    let acts = [find("delete a customer for good"), find(""), Act::say("I found nothing.")];
    let world = World::plan().model(acts).agent("offered_tools = 2\n").start().await;
    let receipt = world.user("analyst").asks("Which tickets are open?").await.answers("nothing").await;
    let states: Vec<&Value> =
        receipt["tools"].as_array().unwrap().iter().map(|tool| &tool["state"]).collect();
    assert_eq!(states, ["done", "refused"]);
    let analyst = world.user("analyst").mcp(false).await.unwrap().list_all_tools().await.unwrap();
    let may: Vec<&str> = analyst.iter().map(|tool| tool.name.as_ref()).collect();
    let found = offered(&world, 1);
    assert!(found.iter().all(|name| name == "find_tools" || may.contains(&name.as_str())), "{found:?}");
    assert!(!found.iter().any(|name| name.contains("delete")), "{found:?}");

    let world =
        World::plan().model([find("anything")]).agent("offered_tools = 2\n").limits("tool_calls = 3\n");
    let world = world.start().await;
    let receipt = world.user("support").asks("Which tickets are open?").await.ends().await;
    assert_eq!(receipt["error"]["code"], "steps_spent", "{receipt}");
}

#[tokio::test]
async fn an_agent_that_is_offered_everything_has_nothing_to_find() {
    let acts = [find("anything"), Act::say("No.")];
    let world = World::plan().model(acts).agent("offered_tools = 128\n").start().await;
    let receipt = world.user("support").asks("Which tickets are open?").await.answers("No.").await;
    assert!(!offered(&world, 0).contains(&"find_tools".to_owned()));
    assert_eq!(receipt["tools"][0]["state"], "refused");
}

#[tokio::test]
async fn an_answer_to_a_question_of_the_model_is_about_what_was_asked_before() {
    let plan =
        World::plan().model([Act::say("Which one do you mean?"), Act::say("Well."), Act::say("Hello.")]);
    let world = plan.agent("offered_tools = 1\n").start().await;
    let ann = world.user("support");
    let turn = ann.asks("Close the ticket.").await;
    turn.answers("Which one").await;
    let talk = turn.conversation();
    ann.goes_on(talk, "8").await.answers("Well.").await;
    assert!(offered(&world, 0).contains(&"ops__close_ticket".to_owned()), "{:?}", offered(&world, 0));
    assert!(offered(&world, 1).contains(&"ops__close_ticket".to_owned()), "{:?}", offered(&world, 1));
    // Where nothing was asked, the message speaks for itself.
    ann.goes_on(talk, "8").await.answers("Hello.").await;
    assert!(!offered(&world, 2).contains(&"ops__close_ticket".to_owned()), "{:?}", offered(&world, 2));
}

#[tokio::test]
async fn always_on_tools_are_offered_whatever_the_question_is() {
    let plan = World::plan().model([Act::say("Hello.")]);
    let world = plan.agent("offered_tools = 1\nalways_tools = [\"ops__get_order\"]\n").start().await;
    world.user("support").asks("Which tickets are open?").await.answers("Hello.").await;
    assert!(offered(&world, 0).contains(&"ops__get_order".to_owned()), "{:?}", offered(&world, 0));
}

#[tokio::test]
async fn the_rehearsal_model_asks_for_more_before_it_gives_up() {
    let world = World::start().await;
    let ann = world.user("support");
    let receipt = ann.asks("Please compose a haiku about the sea in autumn.").await.ends().await;
    let tools: Vec<&str> =
        receipt["tools"].as_array().unwrap().iter().map(|one| one["tool"].as_str().unwrap()).collect();
    assert!(tools.is_empty() || tools[0] == "find_tools", "{receipt}");
    assert_eq!(receipt["status"], "answered", "{receipt}");
}
