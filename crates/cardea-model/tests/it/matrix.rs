//! Every way in which a provider can misbehave, in every wire format, alone and with a fallback.

use std::time::Duration;

use cardea_core::{Code, message::Finish};
use serde_json::json;

use crate::{
    fake::{Act, Wire},
    world::{CONFIG, FIRST, Heard, TOTAL, hear, models, net, prompt, provider},
};

/// What must come of a behaviour.
#[derive(Debug, Clone)]
enum Then {
    /// This text, whole.
    Says(&'static str),
    /// An error with nothing handed out, and whether a fallback may answer.
    Fails(Code, bool),
    /// This text, and then an error: too late for a fallback.
    Breaks(&'static str, Code),
}

struct Case {
    name: &'static str,
    acts: Vec<Act>,
    then: Then,
    /// The longest that it may take.
    within: Duration,
    /// How many requests the provider sees.
    asked: usize,
}

/// At most this much beyond a deadline. Two seconds on purpose where nothing is awaited: the machine may be busy.
const GRACE: Duration = Duration::from_millis(400);
const SOON: Duration = Duration::from_secs(2);

fn case(name: &'static str, acts: Vec<Act>, then: Then, within: Duration, asked: usize) -> Case {
    Case { name, acts, then, within, asked }
}

fn status(status: u16, body: &str) -> Vec<Act> {
    vec![Act::Status(status, None, body.to_owned())]
}

/// What Anthropic says of an account without credit.
const BROKE: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":
    "Your credit balance is too low to access the API. Please buy more."}}"#;

/// What Gemini says of a key that is none.
const DEAD: &str = r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":
    [{"@type":"x.example/Help"},{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]"#;

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    use Code::{Misconfigured, ModelFailed, ModelSilent, TooLarge};
    use Then::{Breaks, Fails, Says};
    let ms = Duration::from_millis;
    let error = r#"{"error":{"message":"no"}}"#;
    vec![
        // good
        case("an answer", vec![Act::say("good day")], Says("good day"), SOON, 1),
        case("one byte at a time", vec![Act::Drip("ok".into(), ms(1))], Says("ok"), TOTAL, 1),
        // silent
        case("never answers", vec![Act::Silent], Fails(ModelSilent, true), FIRST, 1),
        case("sends a head and nothing more", vec![Act::SilentAfterHead], Fails(ModelSilent, true), FIRST, 1),
        case(
            "keeps the line alive and says nothing",
            vec![Act::KeepAlive(ms(50))],
            Fails(ModelSilent, false),
            TOTAL,
            1,
        ),
        case(
            "falls silent in the middle",
            vec![Act::SilentAfter("so ".into())],
            Breaks("so ", ModelSilent),
            FIRST,
            1,
        ),
        case(
            "is too slow to end",
            vec![Act::Drip("word".into(), ms(30))],
            Fails(ModelSilent, false),
            TOTAL,
            1,
        ),
        // busy
        case("busy once", vec![Act::busy(None), Act::say("now")], Says("now"), SOON, 2),
        case(
            "busy once with a short hint",
            vec![Act::busy(Some("0")), Act::say("now")],
            Says("now"),
            SOON,
            2,
        ),
        case(
            "busy with a fraction as hint",
            vec![Act::busy(Some("0.1")), Act::say("now")],
            Says("now"),
            SOON,
            2,
        ),
        case("busy with a long hint", vec![Act::busy(Some("30"))], Fails(ModelFailed, true), SOON, 1),
        case("busy with an odd hint", vec![Act::busy(Some("soon"))], Fails(ModelFailed, true), SOON, 2),
        case("always busy", vec![Act::busy(None)], Fails(ModelFailed, true), SOON, 2),
        // broken
        case("broken once", [status(500, "oh"), vec![Act::say("now")]].concat(), Says("now"), SOON, 2),
        case("500", status(500, error), Fails(ModelFailed, true), SOON, 2),
        case(
            "502 with a web page",
            status(502, "<html>bad gateway</html>"),
            Fails(ModelFailed, true),
            SOON,
            2,
        ),
        case("503", status(503, ""), Fails(ModelFailed, true), SOON, 2),
        case("529", status(529, error), Fails(ModelFailed, true), SOON, 2),
        case("a redirect", status(302, ""), Fails(ModelFailed, false), SOON, 1),
        case(
            "reports an error at once",
            vec![Act::Reports(String::new())],
            Fails(ModelFailed, true),
            SOON,
            2,
        ),
        case(
            "reports an error in the middle",
            vec![Act::Reports("so ".into())],
            Breaks("so ", ModelFailed),
            SOON,
            1,
        ),
        // refused
        case("400", status(400, error), Fails(ModelFailed, false), SOON, 1),
        case(
            "400 for length",
            status(400, r#"{"error":{"message":"prompt is too long"}}"#),
            Fails(TooLarge, true),
            SOON,
            1,
        ),
        case("401", status(401, error), Fails(Misconfigured, true), SOON, 1),
        case("402: no credit left", status(402, error), Fails(Misconfigured, true), SOON, 1),
        case("400: no credit left", status(400, BROKE), Fails(Misconfigured, true), SOON, 1),
        case("400: a dead key", status(400, DEAD), Fails(Misconfigured, true), SOON, 1),
        case("404", status(404, error), Fails(Misconfigured, true), SOON, 1),
        // cut
        case(
            "the line is lost at once",
            vec![Act::LostAfter(String::new())],
            Fails(ModelFailed, true),
            SOON,
            2,
        ),
        case(
            "the line is lost in the middle",
            vec![Act::LostAfter("so ".into())],
            Breaks("so ", ModelFailed),
            SOON,
            1,
        ),
        case("ends without an end", vec![Act::EndsEarly("so ".into())], Breaks("so ", ModelFailed), SOON, 1),
        case("an empty answer", vec![Act::Empty], Fails(ModelFailed, true), SOON, 2),
        case("an answer of no words", vec![Act::say("")], Fails(ModelFailed, true), SOON, 2),
        case("no words once", vec![Act::say(""), Act::say("now")], Says("now"), SOON, 2),
        case(
            "fewer bytes than announced",
            vec![Act::WrongLength("so ".into())],
            Breaks("so ", ModelFailed),
            SOON,
            1,
        ),
        // nonsense
        case(
            "no JSON",
            vec![Act::Then("so ".into(), b"data: {oops".to_vec())],
            Breaks("so ", ModelFailed),
            SOON,
            1,
        ),
        case(
            "no text",
            vec![Act::Then("so ".into(), b"data: \xff\xfe".to_vec())],
            Breaks("so ", ModelFailed),
            SOON,
            1,
        ),
        case(
            "JSON of another kind",
            vec![Act::Then(String::new(), b"data: [1,2]".to_vec())],
            Fails(ModelFailed, true),
            SOON,
            2,
        ),
        case(
            "a web page",
            vec![Act::Document("text/html", "<html>".into())],
            Fails(ModelFailed, true),
            SOON,
            2,
        ),
        case(
            "a document of nonsense",
            vec![Act::Document("application/json", "{\"a\":".into())],
            Fails(ModelFailed, true),
            SOON,
            2,
        ),
        // huge
        case("a huge event", vec![Act::HugeEvent(20_000)], Fails(ModelFailed, true), SOON, 1),
        case("a huge answer", vec![Act::HugeAnswer(200_000)], Breaks("xxx", ModelFailed), SOON, 1),
    ]
}

fn check(case: &Case, wire: Wire, heard: &Heard) {
    let what = format!("{} over {}: {heard:?}", case.name, wire.kind());
    match &case.then {
        Then::Says(text) => {
            assert_eq!(heard.text, *text, "{what}");
            let (finish, usage) = heard.end.unwrap_or_else(|| panic!("{what}"));
            assert_eq!((finish, usage.input, usage.output), (Finish::Stop, 11, 5), "{what}");
        }
        Then::Fails(code, _) => {
            assert_eq!(heard.code(), Some(*code), "{what}");
            assert!(heard.text.is_empty() && heard.error.as_ref().is_some_and(|(_, late)| !late), "{what}");
        }
        Then::Breaks(text, code) => {
            assert_eq!(heard.code(), Some(*code), "{what}");
            assert!(
                heard.text.starts_with(text) && heard.error.as_ref().is_some_and(|(_, late)| *late),
                "{what}"
            );
            assert!(heard.text.len() <= 64 * 1024, "{what}");
        }
    }
}

#[tokio::test]
async fn whatever_a_provider_does_ends_in_time_and_is_told_for_what_it_is() {
    let net = net();
    let mut worst = Duration::ZERO;
    let mut count = 0;
    for wire in Wire::ALL {
        for case in cases() {
            let (server, config) = provider("main", wire, case.acts.clone(), "").await;
            let heard = hear(&models(&format!("{CONFIG}{config}"), &net), prompt("main")).await;
            check(&case, wire, &heard);
            let what = format!("{} over {}", case.name, wire.kind());
            assert!(heard.took <= case.within + GRACE, "{what} took {:?}", heard.took);
            if case.within < SOON {
                worst = worst.max(heard.took.saturating_sub(case.within));
            }
            assert_eq!(server.seen().len(), case.asked, "{what}: number of requests");
            count += 1;
        }
    }
    println!("{count} behaviours; latest past a deadline: {worst:?}");
}

#[tokio::test]
async fn a_fallback_answers_where_it_may_and_only_before_the_first_piece() {
    let net = net();
    for wire in Wire::ALL {
        for case in cases() {
            let (_main, config) = provider("main", wire, case.acts.clone(), "fallback = [\"spare\"]").await;
            let (spare, more) = provider("spare", Wire::OpenAi, vec![Act::say("from the spare")], "").await;
            let heard = hear(&models(&format!("{CONFIG}{config}{more}"), &net), prompt("main")).await;
            let what = format!("{} over {}: {heard:?}", case.name, wire.kind());
            match case.then {
                Then::Fails(_, true) => {
                    assert_eq!(heard.text, "from the spare", "{what}");
                    assert_eq!(heard.served.as_deref(), Some("spare-model"), "{what}");
                }
                _ => {
                    check(&case, wire, &heard);
                    assert_eq!(spare.seen().len(), 0, "{what}: the spare was asked");
                }
            }
        }
    }
}

#[tokio::test]
async fn tool_calls_and_their_usage_come_through_every_format() {
    let net = net();
    for wire in Wire::ALL {
        let acts =
            vec![Act::Call(vec![("a".into(), json!({ "x": "ü", "y": [1, 2] })), ("b".into(), json!({}))])];
        let (server, config) = provider("main", wire, acts, "").await;
        let heard = hear(&models(&format!("{CONFIG}{config}"), &net), prompt("main")).await;
        let expected =
            [("a".to_owned(), "{\"x\":\"ü\",\"y\":[1,2]}".to_owned()), ("b".to_owned(), "{}".to_owned())];
        assert_eq!(heard.calls, expected, "{wire:?}");
        assert_eq!(
            heard.end.map(|(finish, usage)| (finish, usage.input, usage.output)),
            Some((Finish::ToolCalls, 11, 5))
        );
        let seen = server.seen();
        let header = match wire {
            Wire::OpenAi => ("authorization", "Bearer sk-test"),
            Wire::Anthropic => ("x-api-key", "sk-test"),
            Wire::Gemini => ("x-goog-api-key", "sk-test"),
        };
        assert_eq!(seen[0].headers[header.0], header.1);
        assert!(!seen[0].path.contains("sk-test"), "the key stands in the address");
    }
}
