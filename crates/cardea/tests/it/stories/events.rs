//! The one event of each request: what an operator finds there when something did not go well.

use std::time::Duration;

use cardea_core::trace::TraceContext;
use cardea_testkit::{
    World,
    model::Act,
    world::{Reply, User},
};
use serde_json::{Value, json};

use super::{
    letters::hangs_up_after,
    traces::{Lines, listen},
};

const TURNS: &str = "/api/v1/turns";
const CHAT: &str = "/v1/chat/completions";

fn broken() -> Act {
    Act::Status(500, None, "{}".to_owned())
}

fn ask() -> Value {
    json!({ "agent": "scripted", "message": "Hello?" })
}

fn say(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "Hello?" }] })
}

/// A request, and the event of it.
struct Request {
    lines: Lines,
    trace: TraceContext,
}

impl Request {
    fn new() -> Self {
        Self { lines: listen(), trace: TraceContext::fresh() }
    }

    async fn post(&self, user: &User, path: &str, body: &Value) -> Reply {
        let parent = self.trace.to_string();
        let more = [("traceparent", parent.as_str()), ("accept", "application/json, text/event-stream")];
        user.send("POST", path, &more, &body.to_string()).await
    }

    /// Waits until it is told.
    async fn event(&self) -> Value {
        loop {
            let told = self.lines.of("cardea::request");
            if let Some(event) = told.into_iter().find(|event| event["trace.id"] == self.trace.trace_id()) {
                return event;
            }
            self.lines.more().await;
        }
    }
}

/// The event of one request, whatever is answered.
async fn told(user: &User, path: &str, body: &Value) -> Value {
    let request = Request::new();
    drop(request.post(user, path, body).await);
    request.event().await
}

#[tokio::test]
async fn a_turn_or_a_stream_that_fails_is_told_with_its_code_whatever_its_status_was() {
    let world = World::plan().set("CARDEA_MODELS__RETRIES", "0").model([]).start().await;
    let ann = world.user("support");
    let agent = "agent/scripted";
    for (path, body, status) in
        [(TURNS, ask(), 200), (CHAT, say(agent, true), 200), (CHAT, say(agent, false), 502)]
    {
        world.model().then(broken());
        let event = told(&ann, path, &body).await;
        assert_eq!(
            (&event["http.response.status_code"], &event["error.type"], &event["turn.ending"]),
            (&json!(status), &json!("model_failed"), &json!("failed")),
            "{event}"
        );
        assert!(event["error.cause"].as_str().unwrap().contains("500"), "{event}");
    }
    world.model().then(Act::LostAfter("Once upon a time there was a".to_owned()));
    let event = told(&ann, CHAT, &say("scripted", true)).await;
    assert_eq!(
        (&event["http.response.status_code"], &event["error.type"]),
        (&json!(200), &json!("model_failed")),
        "{event}"
    );
    let metrics = world.stranger().get("/metrics").await.expect(200).text;
    let counted = "cardea_turns_total{agent=\"scripted\",status=\"failed\",code=\"model_failed\"} 3";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_call_that_is_refused_or_fails_is_told_with_why_though_its_answer_is_a_good_one() {
    let world = World::start().await;
    let (ann, bob) = (world.user("support"), world.user("analyst"));
    let call = |tool: &str, arguments: Value| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": { "name": tool, "arguments": arguments } })
    };
    let refund = json!({ "order_id": "ORD-17", "amount": 5, "reason": "late" });
    for (user, call, code, ending) in [
        (&ann, call("ops__get_order", json!({ "order_id": "ORD-17" })), json!(null), json!("answered")),
        (
            &ann,
            call("ops__get_order", json!({ "order_id": 17 })),
            json!("invalid_arguments"),
            json!("refused"),
        ),
        (&ann, call("ops__nothing", json!({})), json!("not_found"), json!(null)),
        (&bob, call("ops__process_refund", refund), json!("denied"), json!("refused")),
        (
            &ann,
            call("ops__get_order", json!({ "order_id": "ORD-0" })),
            json!("upstream_failed"),
            json!("failed"),
        ),
    ] {
        let event = told(user, "/mcp", &call).await;
        assert_eq!(
            (&event["http.response.status_code"], &event["error.type"], &event["turn.ending"]),
            (&json!(200), &code, &ending),
            "{call} {event}"
        );
    }
    let event = told(&ann, "/mcp", &json!([])).await;
    assert_eq!(
        (&event["http.response.status_code"], &event["error.type"]),
        (&json!(400), &json!("bad_request")),
        "{event}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_is_told_as_one_that_did_and_not_as_a_request_without_a_status() {
    let slow = Act::Drip("It opens at nine.".into(), Duration::from_millis(3));
    let world = World::with_model([slow, Act::SilentAfter("A long story. ".repeat(100))]).await;
    let (ann, waiting, reading) = (world.user("support"), Request::new(), Request::new());
    let asked = async {
        while world.model().seen().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let body = say("scripted", false);
    tokio::select! {
        _ = waiting.post(&ann, CHAT, &body) => panic!("it was answered before it could hang up"),
        () = asked => {} // and here the request is dropped
    }
    let event = waiting.event().await;
    assert_eq!(
        (&event["http.response.status_code"], &event["client.left"]),
        (&json!(499), &json!(true)),
        "{event}"
    );
    assert!(event["gen_ai.usage.output_tokens"].as_u64().unwrap() > 0, "the work went on: {event}");

    let address = world.url.trim_start_matches("http://").to_owned();
    let token = format!("{}\r\ntraceparent: {}", ann.token(), reading.trace);
    let body = say("scripted", true).to_string().replace("Hello?", "Go on.");
    let hung_up = tokio::task::spawn_blocking(move || hangs_up_after(&address, &token, &body, "story"));
    hung_up.await.unwrap();
    let event = reading.event().await;
    assert_eq!(
        (
            &event["http.response.status_code"],
            &event["turn.ending"],
            &event["error.type"],
            &event["client.left"]
        ),
        (&json!(200), &json!("cancelled"), &json!("cancelled"), &json!(true)),
        "{event}"
    );
}

#[tokio::test]
async fn each_call_of_a_provider_is_measured_with_its_own_model_and_how_it_ended() {
    let cut = "Once upon a time there was a".to_owned();
    let names = "[models.aliases.second]\nprovider = \"fake\"\nmodel = \"fake-2\"\n\
                 [models.aliases.first]\nprovider = \"fake\"\nmodel = \"fake-3\"\nfallback = [\"second\"]\n";
    let busy = [Act::busy(None), Act::say("It opens at nine.")];
    let script = busy.into_iter().chain([Act::LostAfter(cut), broken(), broken(), Act::say("Yes.")]);
    let world = World::plan().model(script).configure(names).set("CARDEA_MODELS__RETRIES", "1").start().await;
    let (ann, lost) = (world.user("support"), Request::new());
    drop(ann.post(CHAT, &say("scripted", false)).await.expect(200));
    drop(lost.post(&ann, CHAT, &say("second", true)).await.expect(200));
    drop(ann.post(CHAT, &say("first", false)).await.expect(200));
    let metrics = world.app.observe.metrics_text();
    for (model, outcome, count) in [
        ("fake-1", "busy", 1),
        ("fake-1", "ok", 1),
        ("fake-2", "cut", 1),
        ("fake-3", "broken", 2),
        ("fake-2", "ok", 1),
    ] {
        let labels = format!("{{model=\"{model}\",outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&format!("cardea_model_duration_seconds_count{labels}")), "{metrics}");
    }
    let (event, lines) = (lost.event().await, listen().of("cardea_model::provider"));
    let told =
        lines.iter().find(|line| line["trace.id"] == lost.trace.trace_id()).expect("a line of the log");
    assert_eq!((&told["request.id"], &told["trouble"]), (&event["request.id"], &json!("cut")), "{told}");
}

/// The sum of this member over these events.
fn sum(events: &[Value], member: &str) -> u64 {
    events.iter().map(|event| event[member].as_u64().unwrap()).sum()
}

/// The sum of all meters whose line begins like this.
fn metered(metrics: &str, meter: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(meter));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn what_all_events_cost_is_what_the_meters_say_also_where_an_answer_is_given_again() {
    let refund = json!({ "order_id": "ORD-17", "amount": 150, "reason": "late" });
    let script =
        [Act::say("It opens at nine."), Act::call("ops__process_refund", refund), Act::say("Refunded.")];
    let world = World::with_model(script).await;
    let (ann, supervisor) = (world.user("support"), world.user("supervisor"));
    let mut requests = Vec::new();
    for _ in 0..2 {
        let request = Request::new();
        let parent = request.trace.to_string();
        let more = [("traceparent", parent.as_str()), ("idempotency-key", "once")];
        drop(ann.send("POST", TURNS, &more, &ask().to_string()).await.expect(200));
        requests.push(request);
    }
    let waits = Request::new();
    let body = json!({ "agent": "scripted", "message": "Refund order 17." });
    let asked = waits.post(&ann, TURNS, &body).await.expect(202);
    let (turn, path) = (asked.at("/turn").to_owned(), format!("/api/v1/approvals/{}", asked.at("/approval")));
    requests.push(waits);
    drop(supervisor.post(&path, &json!({ "decision": "approve", "comment": "a test" })).await.expect(200));
    drop(ann.follows(&turn, None).await);
    let mut events = Vec::new();
    for request in &requests {
        events.push(request.event().await);
    }
    assert_eq!(
        (&events[1]["replayed"], &events[1]["cost.micros"]),
        (&json!(true), &json!(0)),
        "{}",
        events[1]
    );
    assert_eq!(events[1]["turn.id"], events[0]["turn.id"]);
    let work = resumed(&turn).await;
    assert_eq!(
        (&work["trace.id"], &work["turn.ending"]),
        (&events[2]["trace.id"], &json!("answered")),
        "{work}"
    );
    events.push(work);
    let metrics = world.app.observe.metrics_text();
    let tokens = sum(&events, "gen_ai.usage.input_tokens") + sum(&events, "gen_ai.usage.output_tokens");
    assert_eq!(tokens, metered(&metrics, "cardea_tokens_total"), "{events:#?}\n{metrics}");
    assert_eq!(sum(&events, "cost.micros"), metered(&metrics, "cardea_cost_micros_total"), "{events:#?}");
    assert_eq!(
        sum(&events, "tool.calls"),
        metered(&metrics, "cardea_tool_calls_total"),
        "{events:#?}\n{metrics}"
    );
    assert!(metrics.contains("cardea_resumes_total{ending=\"answered\"} 1"), "{metrics}");
    assert!(!metrics.contains("status=\"0\""), "{metrics}");
    assert!(tokens > 0 && events.last().unwrap()["gen_ai.usage.output_tokens"].as_u64() > Some(0));
}

#[tokio::test]
async fn a_search_for_tools_is_counted_like_any_call_also_where_it_is_refused() {
    let search = |need: &str| Act::call("find_tools", json!({ "need": need }));
    let plan = World::plan().model([search("give money back"), search(""), Act::say("I found nothing.")]);
    let world = plan.agent("offered_tools = 2\n").start().await;
    let event = told(&world.user("support"), TURNS, &ask()).await;
    let metrics = world.app.observe.metrics_text();
    assert_eq!(
        (&event["tool.calls"], metered(&metrics, "cardea_tool_calls_total")),
        (&json!(2), 2),
        "{event}"
    );
}

/// The event of the work with which a turn went on.
async fn resumed(turn: &str) -> Value {
    let lines = listen();
    loop {
        let told = lines.of("cardea::work");
        if let Some(event) = told.into_iter().find(|event| event["turn.id"] == turn) {
            return event;
        }
        lines.more().await;
    }
}

#[tokio::test]
async fn a_turn_that_is_not_waited_for_is_a_short_request_and_work_of_its_own_in_the_same_trace() {
    let slow = Act::Drip("It opens at nine.".into(), Duration::from_millis(20));
    let world = World::with_model([slow]).await;
    let (ann, request) = (world.user("support"), Request::new());
    let parent = request.trace.to_string();
    let more = [("traceparent", parent.as_str()), ("prefer", "respond-async")];
    let asked = ann.send("POST", TURNS, &more, &ask().to_string()).await.expect(202);
    let event = request.event().await;
    assert_eq!(
        (&event["http.response.status_code"], &event["turn.ending"], &event["gen_ai.usage.output_tokens"]),
        (&json!(202), &json!("running"), &json!(0)),
        "{event}"
    );
    let work = resumed(asked.at("/turn")).await;
    assert_eq!(
        (&work["work.kind"], &work["trace.id"], &work["request.id"], &work["turn.ending"]),
        (&json!("resume"), &event["trace.id"], &event["request.id"], &json!("answered")),
        "{work}"
    );
    assert!(
        work["gen_ai.usage.output_tokens"].as_u64() > Some(0)
            && work["took_ms"].as_u64() > event["took_ms"].as_u64()
    );
    let metrics = world.app.observe.metrics_text();
    assert!(metrics.contains("cardea_resumes_total{ending=\"answered\"} 1"), "{metrics}");
    assert_eq!(metered(&metrics, "cardea_requests_total"), 1, "{metrics}");
}

#[tokio::test]
async fn a_hit_and_a_miss_name_the_same_model_and_what_was_found_is_counted() {
    let world = World::with_model([Act::say("It opens at nine.")]).await;
    let ann = world.user("support");
    let mut body = say("scripted", false);
    body["messages"][0]["content"] = json!("I am ann@example.org. When does it open?");
    let (miss, hit) = (told(&ann, CHAT, &body).await, told(&ann, CHAT, &body).await);
    for (event, layer, answers, from) in
        [(&miss, "none", json!("fake-1"), json!("fake")), (&hit, "exact", Value::Null, Value::Null)]
    {
        assert_eq!(
            (&event["gen_ai.request.model"], &event["cache.layer"], &event["turn.ending"]),
            (&json!("scripted"), &json!(layer), &json!("stop")),
            "{event}"
        );
        assert_eq!(
            (&event["gen_ai.response.model"], &event["gen_ai.provider.name"]),
            (&answers, &from),
            "{event}"
        );
        assert_eq!(
            (&event["guard.findings"], &event["http.request.method"]),
            (&json!(1), &json!("POST")),
            "{event}"
        );
    }
    assert_eq!(miss["gen_ai.usage.cache_read.input_tokens"], 0);
}
