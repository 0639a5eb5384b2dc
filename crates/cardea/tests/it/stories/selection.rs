//! A choice of tools that missed, and the way out of it.

use cardea_core::time::Millis;
use cardea_testkit::{
    World,
    history::leaks,
    model::Act,
    world::{Say, Service, User},
};
use serde_json::{Value, json};

use super::{
    cancels::running,
    letters::wishes,
    limits::{POLICIES, SLOW},
};

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
async fn what_a_model_searches_with_is_screened_before_it_is_written_down() {
    let key = ["AKIA", "Q3EGRIVZ7ABCDEFG"].concat();
    let beside = json!({ "need": "give money back", "note": key });
    let acts =
        [find(&format!("a tool that takes {key}")), Act::call("find_tools", beside), Act::say("I may not.")];
    let world = World::plan().model(acts).agent("offered_tools = 2\n").start().await;
    let ann = world.user("support");
    let turn = ann.asks("Which tickets are open?").await;
    let receipt = turn.answers("I may not.").await;
    for at in [0, 1] {
        assert_eq!(receipt["tools"][at]["state"], "refused", "{receipt}");
        assert!(receipt["tools"][at]["reason"].as_str().unwrap().contains("aws"), "{receipt}");
    }
    assert!(!receipt.to_string().contains(&key), "{receipt}");
    let told = world.model().seen()[2].body.to_string();
    assert!(!told.contains(&key), "{told}");
    world.app.stop().await;
    assert_eq!(leaks(world.folder(), &[&key]).unwrap(), Vec::<String>::new());
}

/// The receipt of a turn whose model asks in one answer for a tool that never answers and for a search; what happens while
/// that tool is waited for.
async fn hangs_before_a_search(meanwhile: impl AsyncFnOnce(&World, &User)) -> Value {
    let calls = [("demo__look", json!({})), ("find_tools", json!({ "need": "give money back" }))];
    let calls = calls.map(|(tool, arguments)| (tool.to_owned(), arguments));
    let plan = World::plan().model([Act::Call(calls.to_vec()), Act::say("never said")]).policies(POLICIES);
    let plan = plan.limits("time = \"2s\"\ntool_timeout = \"2s\"\n").agent("offered_tools = 1\n");
    let world = plan.connector(Service::start().await, SLOW).start().await;
    world.service().says("GET /look", [Say::Silent]);
    let ann = world.user("support");
    let while_it_hangs = async {
        while world.service().lines().is_empty() {
            tokio::task::yield_now().await;
        }
        meanwhile(&world, &ann).await;
    };
    let (turn, ()) = tokio::join!(ann.asks("Look it up."), while_it_hangs);
    turn.ends().await
}

#[tokio::test]
async fn a_turn_that_was_stopped_or_has_no_time_left_ends_before_a_search() {
    let late = hangs_before_a_search(async |world, _| world.clock.advance(Millis::from_secs(3))).await;
    let stopped = hangs_before_a_search(async |world, ann| {
        let id = running(world).await;
        drop(ann.post(&format!("/api/v1/turns/{id}/cancel"), &json!({})).await.expect(202));
    })
    .await;
    for (receipt, code) in [(stopped, "cancelled"), (late, "time_spent")] {
        assert_eq!(receipt["error"]["code"], code, "{receipt}");
        let tools = receipt["tools"].as_array().unwrap();
        assert!(tools.iter().all(|used| used["tool"] == "demo__look"), "{receipt}");
    }
}

#[tokio::test]
async fn of_connectors_alone_the_model_is_offered_no_more_than_its_agent_says() {
    let plan = World::plan().model([Act::say("Hello.")]).policies(POLICIES).agent("offered_tools = 1\n");
    let world = plan.connector(Service::start().await, SLOW).shop_is_away().start().await;
    world.user("support").asks("Look it up.").await.answers("Hello.").await;
    assert_eq!(offered(&world, 0), ["demo__look", "find_tools"]);
}

#[tokio::test]
async fn a_search_with_digits_that_would_be_lost_is_refused_like_any_call() {
    let odd = r#"{"need":"give money back","most":12345678901234567890123}"#;
    let plan = World::plan().model([wishes("find_tools", odd), Act::say("I may not.")]);
    let world = plan.agent("offered_tools = 2\n").start().await;
    let receipt = world.user("support").asks("Which tickets are open?").await.answers("may not").await;
    assert_eq!(receipt["tools"][0]["state"], "refused", "{receipt}");
    let reason = receipt["tools"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("`find_tools`: `/most`: the number has more digits"), "{reason}");
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
