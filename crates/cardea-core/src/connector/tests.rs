use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    form::{Place, position},
    secret::{ExposeSecret, SecretString},
    tool::{Effect, Outcome},
};

const BILLING: &str = r#"
[connector]
name  = "billing"
base  = "https://api.billing.example/v1"
hosts = ["api.billing.example"]
methods = ["GET", "POST", "DELETE"]
auth  = { kind = "bearer" }
headers = { Accept = "application/json" }

[[operation]]
name        = "refund"
about       = "Give money back for one order."
effect      = "write"
utterances  = ["give the money back for order 17"]
request     = { method = "POST", path = "/orders/{order}/refunds", body = { amount = "{amount}", note = "for {order}: {note}", mark = "{{x}}" }, headers = { X-Note = "{note}" } }
input       = { order = "string", amount = { type = "integer", minimum = 1, maximum = 100000 }, note = "string?" }
idempotency = { header = "Idempotency-Key" }
undo        = { operation = "void_refund", with = { refund = "{result.id}" } }
retry       = { on = [429, 502, 503], attempts = 3 }
result      = { take = "/refund", max = "1KiB", error = "/error/message" }
clears      = ["order:{order}"]

[[operation.example]]
given  = { order = "17", amount = 900 }
sends  = "POST /orders/17/refunds"
body   = { amount = 900, mark = "{x}" }
gets   = { status = 201, body = { refund = { id = "r1" } } }
result = { id = "r1" }

[[operation.example]]
given = { order = "17", amount = 900 }
sends = "POST /orders/17/refunds"
gets  = { status = 422, body = { error = { message = "too much" } } }
fails = "too much"

[[operation]]
name        = "void_refund"
about       = "Take a refund back."
effect      = "write"
request     = { method = "DELETE", path = "/refunds/{refund}" }
input       = { refund = "string" }
idempotency = { by = "method" }

[[operation]]
name    = "list"
about   = "List refunds."
effect  = "read"
request = { method = "GET", path = "/refunds", query = { state = "{state}", tag = "{tags}", limit = 10 } }
input   = { state = "string?", tags = { type = "array", items = { type = "string" }, optional = true } }
result  = { keep = ["id"] }
cache   = { ttl = "60s" }

[[operation]]
name    = "pay_out"
about   = "Pay out."
effect  = "destructive"
request = { method = "POST", path = "/payouts", form = { amount = "{amount}", key = "{step}" } }
input   = { amount = "integer" }
check   = { path = "/payouts", query = { key = "{step}" }, found = "/items/0", take = "/items/0" }
"#;

fn billing() -> Connector {
    Connector::parse(BILLING).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn operation(name: &str) -> Operation {
    let name = format!("billing__{name}");
    billing().operations.into_iter().find(|one| one.spec.name.as_str() == name).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("no object") };
    members
}

/// Line, key and message of everything that is wrong.
fn wrong(text: &str) -> Vec<(usize, String, String)> {
    let problems = match Connector::parse(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    };
    let line = |place: &Place| match place {
        Place::File(span) => position(text, span.start).line,
        _ => 0,
    };
    let told =
        |problem: &Problem| format!("{} {}", problem.message, problem.help.as_deref().unwrap_or_default());
    problems.iter().map(|problem| (line(&problem.place), problem.key.clone(), told(problem))).collect()
}

#[test]
fn a_good_file_is_a_set_of_tools_and_its_examples_hold() {
    let connector = billing();
    let names: Vec<&str> = connector.operations.iter().map(|one| one.spec.name.as_str()).collect();
    assert_eq!(names, ["billing__refund", "billing__void_refund", "billing__list", "billing__pay_out"]);
    assert_eq!(Connector::play(BILLING).unwrap(), Vec::new());
    let refund = operation("refund");
    assert_eq!((refund.spec.effect, refund.repeatable), (Effect::Write, Repeatable::ByKey));
    assert_eq!(refund.spec.input_schema["required"], json!(["amount", "order"]));
    assert_eq!(refund.spec.input_schema["additionalProperties"], json!(false));
    assert_eq!(operation("pay_out").repeatable, Repeatable::ByCheck);
    let undo = refund.undo.unwrap();
    assert_eq!(undo.tool().as_str(), "billing__void_refund");
    let way = undo.call(&object(json!({ "order": "17", "amount": 9 })), &json!({ "id": "r1" }));
    assert!(way.is_some_and(|way| way.is_open()));
}

#[test]
fn an_example_that_does_not_hold_is_told_with_its_line() {
    let text = BILLING.replace("result = { id = \"r1\" }", "result = { id = \"r2\" }");
    let problems = Connector::play(&text).unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, "operation[0].example[0].result");
    assert!(problems[0].message.contains("r1"), "{problems:?}");
    assert_ne!(problems[0].place, Place::Nowhere);
}

/// What is written, what is written instead, the line, the key, and a part of what is said.
const WRONG: &[(&str, &str, usize, &str, &str)] = &[
    ("hosts = [\"api.billing.example\"]", "hosts = [\"other.example\"]", 4, "connector.base", "not among"),
    ("api.billing.example/v1", "user:pw@api.billing.example", 4, "connector.base", "no password"),
    ("https://api", "gopher://api", 4, "connector.base", "https://"),
    ("hosts = [\"api", "hosts = [\"*.api", 5, "connector.hosts[0]", "no pattern"),
    ("\"POST\", \"DELETE\"]", "\"DELETE\"]", 15, "operation[0].request.method", "POST is not among"),
    (
        "effect      = \"write\"\nutt",
        "efect = \"write\"\nutt",
        13,
        "operation[0].efect",
        "did you mean `effect`?",
    ),
    (
        "{order}/refunds\", body",
        "{oder}/refunds\", body",
        15,
        "operation[0].request.path",
        "did you mean `{order}`?",
    ),
    ("{order}/refunds\", body", "../refunds\", body", 15, "operation[0].request.path", "the segment `..`"),
    ("{order}/refunds\", body", "{note}/refunds\", body", 15, "operation[0].request.path", "may be left out"),
    ("{order}/refunds\", body", "{order}?all=1\", body", 15, "operation[0].request.path", "request.query"),
    ("X-Note", "Host", 15, "operation[0].request.headers.Host", "set by Cardea itself"),
    ("X-Note", "authorization", 15, "operation[0].request.headers.authorization", "set by Cardea itself"),
    ("{{x}}", "{x", 15, "operation[0].request.body", "brace"),
    ("idempotency = { header = \"Idempotency-Key\" }\n", "", 10, "operation[0]", "nobody says"),
    ("[429, 502, 503]", "[404]", 19, "operation[0].retry", "404"),
    (
        "void_refund\", with",
        "void_refnd\", with",
        18,
        "operation[0].undo.operation",
        "did you mean `void_refund`?",
    ),
    ("with = { refund =", "with = { refnd =", 18, "operation[0].undo.with", "does not give `refund`"),
    ("{result.id}", "{reslt.id}", 18, "operation[0].undo.with", "`{reslt}`"),
    (
        "idempotency = { by = \"method\" }",
        "accept_unknown = true",
        18,
        "operation[0].undo.operation",
        "cannot be repeated",
    ),
    ("max = \"1KiB\"", "max = 1024", 20, "operation[0].result.max", "unit"),
    ("take = \"/refund\"", "take = \"refund\"", 20, "operation[0].result.take", "did you mean \"/refund\"?"),
    (
        "order = \"string\", amount",
        "order = \"text\", amount",
        16,
        "operation[0].input.order",
        "does not know the kind",
    ),
    (
        "refund = \"string\" }",
        "refund = \"string\", step = \"string\" }",
        41,
        "operation[1].input.step",
        "meaning of its own",
    ),
    (
        "effect  = \"read\"\nrequest = { method = \"GET\"",
        "effect  = \"write\"\nrequest = { method = \"GET\"",
        47,
        "operation[2].effect",
        "only looks",
    ),
    ("name    = \"list\"", "name    = \"refund\"", 45, "operation[2].name", "two operations"),
    (
        "cache   = { ttl = \"60s\" }",
        "cache = { ttl = \"60s\", sharing = \"tenants\" }",
        51,
        "operation[2].cache.sharing",
        "tenant",
    ),
    ("kind = \"bearer\"", "kind = \"barer\"", 7, "connector.auth.kind", "did you mean \"bearer\"?"),
];

#[test]
fn what_is_wrong_with_a_file_is_told_with_line_key_and_what_to_do() {
    let mut odd = Vec::new();
    for &(from, to, line, key, part) in WRONG {
        assert!(BILLING.contains(from), "`{from}` is not in the file");
        let found = wrong(&BILLING.replacen(from, to, 1));
        let hit = found.iter().find(|(_, at, _)| at == key);
        let Some((really, _, told)) = hit else {
            odd.push(format!("`{to}`: nothing about `{key}` in {found:?}"));
            continue;
        };
        if !told.contains(part) || *really != line || told.contains("pw@") {
            odd.push(format!("`{to}`: `{part}` in line {line} was wanted: {found:?}"));
        }
    }
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn what_one_users_credential_fetched_is_not_shared() {
    let shared = BILLING.replace("ttl = \"60s\"", "ttl = \"60s\", sharing = \"tenant\"");
    assert_eq!(wrong(&shared), []);
    for auth in ["kind = \"bearer\", per = \"user\"", "kind = \"caller\", audience = \"billing\""] {
        let found = wrong(&shared.replace("kind = \"bearer\"", auth));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].1, "operation[2].cache.sharing");
    }
}

#[test]
fn no_argument_stands_in_the_place_of_the_secret() {
    for (auth, key) in [
        ("{ kind = \"query\", name = \"state\" }", "operation[2].request.query"),
        ("{ kind = \"header\", name = \"X-Note\" }", "operation[0].request.headers"),
    ] {
        let found = wrong(&BILLING.replace("{ kind = \"bearer\" }", auth));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1 == key && found[0].2.contains("keeps for the secret"), "{found:?}");
    }
}

#[test]
fn a_request_is_made_of_the_file_and_the_arguments_only() {
    let draft = operation("refund")
        .draft(&object(json!({ "order": "17 a", "amount": 9, "note": "hi" })), "step_1")
        .unwrap();
    assert_eq!(draft.url, "https://api.billing.example/v1/orders/17%20a/refunds");
    let (kind, body) = draft.body.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (kind, body),
        ("application/json", json!({ "amount": 9, "note": "for 17 a: hi", "mark": "{x}" }))
    );
    let headers: Vec<(&str, &str)> =
        draft.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("accept", "application/json"), ("x-note", "hi"), ("idempotency-key", "step_1")]);
    let list = operation("list");
    let few = list.draft(&Map::new(), "s").unwrap();
    assert_eq!(few.url, "https://api.billing.example/v1/refunds?limit=10");
    let all = list.draft(&object(json!({ "state": "a&b=c", "tags": ["x", "y z"] })), "s").unwrap();
    assert_eq!(all.url, "https://api.billing.example/v1/refunds?limit=10&state=a%26b%3Dc&tag=x&tag=y%20z");
    let paid = operation("pay_out").draft(&object(json!({ "amount": 5 })), "s&t").unwrap();
    assert_eq!(paid.body.unwrap().1, b"amount=5&key=s%26t");
}

#[test]
fn a_key_that_goes_as_a_uuid_is_the_same_at_each_try_and_another_for_an_undo() {
    let text = BILLING
        .replace("{ header = \"Idempotency-Key\" }", "{ header = \"Idempotency-Key\", form = \"uuid\" }");
    let connector = Connector::parse(&text).unwrap();
    let refund =
        connector.operations.iter().find(|one| one.spec.name.as_str().ends_with("__refund")).unwrap();
    let key = |key: &str| {
        let draft = refund.draft(&object(json!({ "order": "17", "amount": 9 })), key).unwrap();
        draft.headers.into_iter().find(|(name, _)| name == "idempotency-key").unwrap().1
    };
    let step = "step_29e33a9f0a27c85d3eef4c7035ecbc13";
    let (first, undo) = (key(step), key(&format!("undo.{step}")));
    assert_eq!((first.len(), undo.len()), (36, 36));
    assert!(first == key(step) && first != undo, "{first} {undo}");
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    assert!(first.split('-').all(digits) && first.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{first}");
}

#[test]
fn what_a_model_gives_cannot_leave_its_place() {
    let refund = operation("refund");
    for order in ["..", ".", "a/b", "a\\b", "", "a\r\nHost: x", "\u{0}", "..."] {
        let made = refund.draft(&object(json!({ "order": order, "amount": 1 })), "s");
        assert!(made.is_err(), "`{order:?}` became {made:?}");
        assert!(!made.unwrap_err().contains("Host"), "the value is not for the model's eyes again");
    }
    for note in ["a\r\nX-Other: 1", "a\nb", "ä", "\u{7f}"] {
        let made = refund.draft(&object(json!({ "order": "1", "amount": 1, "note": note })), "s");
        assert!(made.is_err(), "{made:?}");
    }
    let tree = refund.draft(&object(json!({ "order": { "a": 1 }, "amount": 1 })), "s");
    assert!(tree.is_err());
    // A value that looks like a slot is a value.
    let made = refund.draft(&object(json!({ "order": "{amount}", "amount": 1 })), "s").unwrap();
    assert!(made.url.ends_with("/orders/%7Bamount%7D/refunds"), "{}", made.url);
}

#[test]
fn an_answer_says_what_is_known_and_nothing_more() {
    let read = |name: &str, status: u16, body: Option<&str>, repeated| {
        let answer = Answer { status, body: body.map(str::as_bytes) };
        operation(name).read(&answer, repeated)
    };
    let kind = |outcome: &Outcome| outcome.name();
    for (name, status, repeated, wanted) in [
        ("refund", 201, false, "done"),
        ("refund", 422, false, "failed"),
        ("refund", 429, false, "failed"),
        ("refund", 409, false, "failed"),
        ("refund", 409, true, "unknown"),
        ("refund", 400, true, "unknown"),
        ("refund", 404, true, "unknown"),
        ("refund", 412, true, "unknown"),
        ("refund", 422, true, "unknown"),
        ("refund", 402, true, "failed"), // what was said to the first try under this key
        ("void_refund", 402, true, "unknown"),
        ("list", 404, true, "failed"),
        ("refund", 500, false, "unknown"),
        ("refund", 503, false, "unknown"),
        ("refund", 501, false, "failed"),
        ("refund", 303, false, "unknown"),
        ("list", 500, false, "failed"),
        ("list", 302, false, "failed"),
        ("void_refund", 404, false, "failed"),
        ("void_refund", 404, true, "done"),
        ("void_refund", 204, false, "done"),
    ] {
        let outcome = read(name, status, Some(r#"{"refund":{"id":"r1"}}"#), repeated);
        assert_eq!(kind(&outcome), wanted, "{name} {status} {repeated}: {outcome:?}");
    }
    assert_eq!(
        read("list", 200, Some(r#"[{"id":1,"secret":2}]"#), false),
        Outcome::Done { result: json!([{ "id": 1 }]) }
    );
    assert_eq!(read("list", 200, Some(""), false), Outcome::Done { result: Value::Null });
    let long = format!(r#"{{"refund":{{"id":"{}"}}}}"#, "x".repeat(2_000));
    let Outcome::Done { result } = read("refund", 200, Some(&long), false) else {
        panic!("the work is done")
    };
    assert!(result.to_string().contains("longer than 1KiB"), "{result}");
    let Outcome::Failed { reason, .. } = read("list", 200, None, false) else { panic!("there is no answer") };
    assert!(reason.contains("longer than 4MiB"), "{reason}");
    let Outcome::Failed { reason, .. } = read("list", 400, Some("a\u{1b}[31m\nb"), false) else { panic!() };
    assert!(reason.ends_with("a [31m b"), "{reason}");
}

/// An operation of this file, with another `result`.
fn with_result(name: &str, result: &str) -> Operation {
    let text = BILLING.replace("result  = { keep = [\"id\"] }", &format!("result = {result}")).replace(
        "result      = { take = \"/refund\", max = \"1KiB\", error = \"/error/message\" }",
        &format!("result = {result}"),
    );
    let name = format!("billing__{name}");
    let connector = Connector::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    connector.operations.into_iter().find(|one| one.spec.name.as_str() == name).unwrap()
}

#[test]
fn an_answer_that_cannot_be_cut_as_the_file_wants_goes_nowhere() {
    let (list, refund) =
        (with_result("list", "{ keep = [\"id\"] }"), with_result("refund", "{ keep = [\"id\"] }"));
    let deep = format!("{{\"id\":1,\"secret\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for body in [
        "{\"id\":1,\"secret\":1e999}",
        &deep,
        "{\"id\":1,\"secret\":",
        "secret",
        "\"secret\"",
        "[\"secret\"]",
    ] {
        let answer = Answer { status: 200, body: Some(body.as_bytes()) };
        let (read, done) = (list.read(&answer, false), refund.read(&answer, false));
        assert_eq!((read.name(), done.name()), ("failed", "done"), "{body}");
        for outcome in [read, done] {
            let told = format!("{outcome:?}");
            assert!(
                told.contains("could not be read as its file wants") && !told.contains("secret"),
                "{told}"
            );
        }
    }
    // Half of a letter is what a service leaves that has cut a text; the rest of the answer is good.
    let half = br#"[{"id":"a\ud83d","secret":"x"}]"#;
    let outcome = list.read(&Answer { status: 200, body: Some(half) }, false);
    assert_eq!(outcome, Outcome::Done { result: json!([{ "id": "a\u{fffd}" }]) });
    let exact = br#"{"id":12345678901234567890123}"#;
    let outcome = list.read(&Answer { status: 200, body: Some(exact) }, false);
    assert_eq!(outcome, Outcome::Done { result: json!({ "id": "12345678901234567890123" }) }, "not rounded");
    let found = br#"{"items":[{"id":1,"secret":2}]}"#;
    let text =
        BILLING.replace("take = \"/items/0\" }", "take = \"/items/0\" }\nresult = { keep = [\"id\"] }");
    let pay = Connector::parse(&text).unwrap().operations.remove(3);
    let looked = pay.looked(&Answer { status: 200, body: Some(found) }, true);
    assert_eq!(looked, Outcome::Done { result: json!({ "id": 1 }) }, "a look is cut as the answer is");
}

#[test]
fn of_an_error_only_what_the_file_points_to_is_told() {
    let list = with_result("list", "{ error = \"/message\" }");
    for (body, said) in [
        (r#"{"message":"no such list","secret":1}"#, ": no such list"),
        (r#"{"message":17,"secret":1}"#, ": 17"),
        (r#"{"message":{"secret":1}}"#, ""),
        (r#"{"secret":1}"#, ""),
        (r#"{"message":"x","secret":1e999}"#, ""),
    ] {
        let outcome = list.read(&Answer { status: 400, body: Some(body.as_bytes()) }, false);
        let reason = format!("`billing` answered with status 400{said}");
        assert_eq!(outcome, Outcome::failed(reason).answered(Some(400)), "{body}");
    }
}

#[test]
fn only_a_verdict_that_was_read_says_whether_the_work_was_done() {
    let (list, refund) = (with_result("list", "{ ok = \"/ok\" }"), with_result("refund", "{ ok = \"/ok\" }"));
    let long = None;
    for (body, write, read) in [
        (Some(&br#"{"ok":true}"#[..]), "done", "done"),
        (Some(&br#"{"ok":false}"#[..]), "failed", "failed"),
        (Some(&br#"{"fine":true}"#[..]), "unknown", "failed"),
        (Some(&br#"{"ok":"true"}"#[..]), "unknown", "failed"),
        (Some(&br#"{"ok":false,"ok":true}"#[..]), "unknown", "failed"),
        (Some(&b"<html>all is well</html>"[..]), "unknown", "failed"),
        (Some(&b"{\"ok\":true,\"by\":\"J\xe9r\"}"[..]), "unknown", "failed"),
        (Some(&b"\x1f\x8b\x08"[..]), "unknown", "failed"),
        (Some(&b""[..]), "unknown", "failed"),
        (long, "unknown", "failed"),
    ] {
        let answer = Answer { status: 200, body };
        let outcomes = (refund.read(&answer, false), list.read(&answer, false));
        assert_eq!((outcomes.0.name(), outcomes.1.name()), (write, read), "{body:?}: {outcomes:?}");
        let status = (write != "done").then_some(200);
        assert_eq!((outcomes.0.status(), outcomes.1.status()), (status, status), "{body:?}: {outcomes:?}");
    }
}

#[test]
fn what_takes_a_call_back_is_made_from_all_of_its_answer() {
    let given = object(json!({ "order": "17", "amount": 9 }));
    let way = |result: &str, body: &str| {
        let answer = Answer { status: 201, body: Some(body.as_bytes()) };
        with_result("refund", result).way_back(&given, &answer).unwrap()
    };
    let long = json!({ "id": "r1", "more": "x".repeat(2_000) }).to_string();
    for (result, body) in [
        ("{ take = \"/refund\" }", r#"{"refund":{"id":"r1"}}"#),
        ("{ keep = [\"state\"] }", r#"{"id":"r1","state":"paid"}"#),
        ("{ max = \"1KiB\" }", &long),
        ("{ take = \"/nowhere\" }", r#"{"id":"r1"}"#),
    ] {
        let found = way(result, body);
        let crate::saga::Way::Call { arguments, .. } = &found else { panic!("{result}: {found:?}") };
        assert_eq!(arguments["refund"], "r1");
    }
    let exact = way("{ take = \"/refund\" }", r#"{"refund":{"id":12345678901234567890123}}"#);
    assert!(format!("{exact:?}").contains("12345678901234567890123"), "{exact:?}");
    assert!(!way("{ take = \"/refund\" }", "").is_open(), "it says nothing, and that is known");
    assert!(operation("list").way_back(&given, &Answer { status: 200, body: None }).is_none());
    let text = BILLING.replace(
        "gets   = { status = 201, body = { refund = { id = \"r1\" } } }\nresult = { id = \"r1\" }",
        "gets = { status = 201 }",
    );
    let text = text.replace("take = \"/refund\", ", "");
    let problems = Connector::play(&text).unwrap();
    assert!(problems.iter().any(|problem| problem.message.contains("`undo`")), "{problems:?}");
}

#[test]
fn a_look_finds_out_whether_a_write_was_done() {
    let pay = operation("pay_out");
    let look = |status, body: &str, settled| {
        pay.looked(&Answer { status, body: Some(body.as_bytes()) }, settled).name()
    };
    assert_eq!(look(200, r#"{"items":[{"id":1}]}"#, true), "done");
    assert_eq!(look(200, r#"{"items":[]}"#, true), "failed");
    assert_eq!(look(200, r#"{"items":[]}"#, false), "unknown", "it may still be on its way");
    assert_eq!(look(404, "", true), "failed");
    assert_eq!(look(500, "", true), "unknown");
    let draft = pay.look(&object(json!({ "amount": 1 })), "step_1").unwrap().unwrap();
    assert_eq!(
        (draft.method, draft.url.as_str()),
        ("GET", "https://api.billing.example/v1/payouts?key=step_1")
    );
    assert_eq!(operation("refund").look(&Map::new(), "s"), Ok(None));
}

#[test]
fn a_service_that_answers_200_to_a_failure_is_believed_to_have_failed() {
    let text =
        BILLING.replace("result  = { keep = [\"id\"] }", "result = { ok = \"/ok\", error = \"/error\" }");
    let list = Connector::parse(&text).unwrap().operations.remove(2);
    let body = br#"{"ok":false,"error":"not_in_channel"}"#;
    let outcome = list.read(&Answer { status: 200, body: Some(body) }, false);
    assert_eq!(outcome.name(), "failed");
    assert!(format!("{outcome:?}").contains("not_in_channel"));
}

#[test]
fn a_secret_is_put_in_last_and_taken_out_of_what_comes_back() {
    let secret = SecretString::from("s3cr\"et&+".to_owned());
    let place = SecretPlace::Basic { user: "ann".into() };
    let Some(Placed::Header(name, value)) = place.put(&secret) else { panic!() };
    assert_eq!(name, "authorization");
    let forms = SecretPlace::forms(&secret);
    let pair = value.expose_secret().trim_start_matches("Basic ").to_owned();
    let body = json!({ "echo": "s3cr\"et&+", "auth": pair, "s3cr\"et&+": 1 }).to_string();
    let clean = scrub_body(body.as_bytes(), &forms);
    let clean = String::from_utf8_lossy(&clean);
    assert!(!clean.contains("s3cr") && !clean.contains(&pair), "{clean}");
    let mut value = json!({ "a": ["x s3cr\"et&+ y"], "s3cr\"et&+": 1 });
    scrub(&mut value, &forms);
    assert_eq!(value, json!({ "a": ["x *** y"] }));
    let query = SecretPlace::Query { name: "key".into() };
    let Some(Placed::Query(pair)) = query.put(&secret) else { panic!() };
    assert_eq!(pair.expose_secret(), "key=s3cr%22et%26%2B");
    let torn = SecretString::from("a\r\nX: y".to_owned());
    assert!(SecretPlace::Bearer.put(&torn).is_none(), "a secret with a line end made a header");
    assert!(!format!("{:?}", query.put(&secret)).contains("s3cr"));
}

#[test]
fn a_secret_is_found_in_every_spelling_that_a_service_may_echo_it_in() {
    use ::base64::{Engine as _, engine::general_purpose as base64};
    let text = "s3cr+t/C\u{e4}n\"ry &7=a b";
    let forms = SecretPlace::forms(&SecretString::from(text.to_owned()));
    let address: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let html: String = text.chars().map(|c| format!("&#{};", u32::from(c))).collect();
    let json = json!(text).to_string();
    let code: String = text.chars().map(|c| format!("\\u{:04X}", u32::from(c))).collect();
    let mail: String = text.bytes().map(|byte| format!("={byte:02X}")).collect();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let spellings = [
        text.to_owned(),
        "s3cr%2Bt%2fC%C3%A4n%22ry+%267%3Da%20b".to_owned(),
        "s3cr%252Bt%252FC%25C3%25A4n%2522ry%2520%25267%253Da%2520b".to_owned(),
        "s3cr+t/C\u{e4}n&quot;ry &amp;7=a&nbsp;b".to_owned(),
        "s3cr&plus;t&#x2f;C&#228;n&#34;ry &amp;7&equals;a b".to_owned(),
        "s3cr+t=2FC=C3=A4n\"ry &7=3Da b".to_owned(),
        json.trim_matches('"').to_owned(),
        json!(json).to_string(),
        address.to_uppercase(),
        address,
        html,
        code,
        mail,
        hex.to_uppercase(),
        hex,
        text.chars().rev().collect(),
        base64::STANDARD.encode(text),
        base64::STANDARD.encode(format!("a:{text}")),
        base64::URL_SAFE_NO_PAD.encode(format!("Bearer {text}.")),
    ];
    for spelled in spellings {
        let body = format!("before {spelled} after");
        let clean = scrub_body(body.as_bytes(), &forms);
        let clean = String::from_utf8_lossy(&clean);
        assert!(clean.contains("***") && clean.len() < 32, "{spelled}: {clean}");
    }
    for harmless in ["s3cr+t/C", "%73%33", "a = b && c \\\\ d &#43; %", "s3cr+t/C\u{e4}n\"ry &7=a c"] {
        assert!(
            matches!(scrub_body(harmless.as_bytes(), &forms), std::borrow::Cow::Borrowed(_)),
            "{harmless}"
        );
    }
    let slashes = vec![b'\\'; 1 << 20];
    assert!(
        matches!(scrub_body(&slashes, &forms), std::borrow::Cow::Borrowed(_)),
        "and is done with it at once"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_argument_changes_host_path_query_or_header_of_a_request(
        order in "\\PC{0,12}|[./\\\\%?#@:&=\r\n ]{0,8}", note in "\\PC{0,12}|[\r\n:]{0,4}", amount in any::<i64>(),
    ) {
        let refund = operation("refund");
        let given = object(json!({ "order": order, "amount": amount, "note": note }));
        if let Ok(draft) = refund.draft(&given, "step_1") {
            let rest = draft.url.strip_prefix("https://api.billing.example/v1/orders/").unwrap();
            let inner = rest.strip_suffix("/refunds").unwrap();
            let fine = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
            let sound = !inner.is_empty() && inner.chars().all(fine) && inner.chars().any(|c| c != '.');
            prop_assert!(sound, "{}", draft.url);
            prop_assert_eq!(draft.headers.len(), 3);
            for (_, value) in &draft.headers {
                let sound = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
                prop_assert!(sound);
            }
            let body: Value = serde_json::from_slice(&draft.body.unwrap().1).unwrap();
            prop_assert_eq!(&body["amount"], &json!(amount));
            prop_assert_eq!(body.as_object().unwrap().len(), 3);
        }
    }

    #[test]
    fn any_text_is_a_connector_or_a_list_of_mistakes(text in "\\PC{0,200}", at in 0_usize..2_000, cut in 0_usize..60) {
        drop(Connector::parse(&text));
        // A file with a piece cut out.
        let mut torn: Vec<char> = BILLING.chars().collect();
        let end = (at + cut).min(torn.len());
        torn.drain(at.min(end)..end);
        let torn: String = torn.into_iter().collect();
        if let Err(problems) = Connector::parse(&torn) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn any_answer_is_an_outcome(status in 100_u16..600, body in "\\PC{0,80}", repeated in any::<bool>()) {
        for operation in billing().operations {
            let answer = Answer { status, body: Some(body.as_bytes()) };
            let outcome = operation.read(&answer, repeated);
            let done = matches!(outcome, Outcome::Done { .. });
            let success = (200..300).contains(&status) || (repeated && matches!(status, 404 | 410));
            prop_assert!(!done || success);
            let unknown = matches!(outcome, Outcome::Unknown { .. });
            prop_assert!(!unknown || operation.spec.effect.changes_things());
            for outcome in [outcome, operation.looked(&answer, true), operation.looked(&answer, false)] {
                let done = matches!(outcome, Outcome::Done { .. });
                prop_assert!(done || outcome.status() == Some(status));
            }
        }
    }
}
