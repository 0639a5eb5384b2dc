//! What a call carries and Cedar cannot hold must never look as if it were not there.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Approved, Around, BTreeSet, Decision, Snapshot, Source, ToolSpec, Verdict, ask, tool, user};
use crate::{
    policy::{Question, Via},
    tool::Effect,
};

/// A tool with an argument of each kind; none of them is needed.
fn payout() -> ToolSpec {
    let input_schema = json!({ "type": "object", "properties": {
        "amount": { "type": "number" }, "count": { "type": "integer" }, "sure": { "type": "boolean" },
        "to": { "type": "string" }, "note": { "type": ["string", "null"] },
        "tags": { "type": "array", "items": { "type": "string" } },
        "parts": { "type": "array", "items": { "type": "integer" } },
        "rates": { "type": "array", "items": { "type": "number" } },
        "either": { "type": ["string", "integer"] },
        "fee": { "type": "number" }, "fee_hundredths": { "type": "integer" },
        "where": { "type": "object", "properties": {
            "zip": { "type": "integer" },
            "bank": { "type": "object", "properties": { "limit": { "type": "number" } } },
        } },
    } });
    ToolSpec { input_schema, ..tool("pay__out", Effect::Write, false) }
}

fn compile(rule: &str) -> Snapshot {
    let text = format!(
        "@id(\"all\") permit (principal, action in Action::\"call\", resource);\n@id(\"rule\") {rule}"
    );
    let mut other = payout();
    other.name = "pay__other".into();
    Snapshot::compile(&[Source::new("test.cedar", text)], &[payout(), other]).unwrap()
}

fn forbid(condition: &str) -> Snapshot {
    compile(&format!("forbid (principal, action == Action::\"pay__out\", resource) when {{ {condition} }};"))
}

fn call(snapshot: &Snapshot, arguments: &Value) -> Decision {
    ask(snapshot, &[], "pay__out", arguments.as_object().unwrap(), Around::default())
}

const OVER: &str = "context.args has amount_hundredths && context.args.amount_hundredths > 10000";

#[test]
fn an_amount_that_cedar_cannot_hold_does_not_walk_around_a_forbid_that_asks_whether_it_is_there() {
    let snapshot = forbid(OVER);
    let verdict = |arguments: Value| call(&snapshot, &arguments).verdict;
    assert_eq!(verdict(json!({ "amount": 100 })), Verdict::Allow);
    assert_eq!(verdict(json!({})), Verdict::Allow, "what is not there is not there");
    assert_eq!(verdict(json!({ "amount": 500 })), Verdict::Deny);
    for odd in [json!(500.005), json!(1e300), json!(u64::MAX), json!("500"), json!([500]), json!(null)] {
        let decision = call(&snapshot, &json!({ "amount": odd }));
        assert_eq!(decision.verdict, Verdict::Deny, "{odd}");
        assert_eq!(decision.errors.iter().map(|id| &**id).collect::<Vec<_>>(), ["rule"], "{odd}");
        let reason = &decision.reason;
        assert!(reason.contains("policy `rule` reads the argument `amount`"), "{reason}");
        assert!(reason.contains("at most two digits after the point"), "it says what fits: {reason}");
    }
    // Where no policy reads it, nothing changes.
    let other = ask(
        &snapshot,
        &[],
        "pay__other",
        json!({ "amount": 500.005 }).as_object().unwrap(),
        Around::default(),
    );
    assert_eq!(other.verdict, Verdict::Allow);
    assert_eq!(call(&snapshot, &json!({ "parts": [u64::MAX], "to": "x" })).verdict, Verdict::Allow);
}

#[test]
fn neither_an_approval_nor_an_exception_of_a_permit_is_walked_around() {
    let text = format!(
        "@approval(\"role:boss\") forbid (principal, action == Action::\"pay__out\", resource) when {{ {OVER} }} \
         unless {{ context has approval }};"
    );
    let snapshot = compile(&text);
    let arguments = json!({ "amount": 500.005 });
    assert_eq!(call(&snapshot, &arguments).verdict, Verdict::Deny);
    let approved = Approved { by: "sue".into(), roles: BTreeSet::from(["boss".to_owned()]) };
    let around = Around { approved: Some(&approved), ..Around::default() };
    let decision = ask(&snapshot, &[], "pay__out", arguments.as_object().unwrap(), around);
    assert_eq!(decision.verdict, Verdict::Deny, "nobody can know what they approve");
    let text = format!(
        "@id(\"only\") permit (principal, action == Action::\"pay__out\", resource) unless {{ {OVER} }};"
    );
    let snapshot = Snapshot::compile(&[Source::new("test.cedar", text)], &[payout()]).unwrap();
    assert_eq!(call(&snapshot, &json!({ "amount": 5 })).verdict, Verdict::Allow);
    assert_eq!(call(&snapshot, &arguments).verdict, Verdict::Deny);
}

#[test]
fn what_is_left_out_of_a_set_or_a_record_or_altogether_is_missed() {
    for (condition, arguments) in [
        ("context.args has parts && context.args.parts.contains(5)", json!({ "parts": [5, u64::MAX] })),
        ("context.args has tags && context.args.tags.contains(\"x\")", json!({ "tags": ["x", 1] })),
        (
            "context.args has where && context.args.where has zip && context.args.where.zip > 5",
            json!({ "where": { "zip": 1e20 } }),
        ),
        (
            "context.args has where.bank.limit_hundredths && context.args.where.bank.limit_hundredths > 5",
            json!({ "where": { "bank": { "limit": 7.001 } } }),
        ),
        // Whoever reads the record reads all of it.
        (
            "context.args has where && context.args.where == context.args.where",
            json!({ "where": { "zip": 1e20 } }),
        ),
        ("context.args has where && context.args.where has zip", json!({ "where": 5 })),
        ("context.args == context.args && context.agent == \"x\"", json!({ "rates": [1.5] })),
        // Kinds that policies cannot see, and names that the schema does not have.
        ("context.agent == \"x\" || context.args has rates", json!({ "rates": [1.5] })),
        ("context.agent == \"x\" || context.args has either", json!({ "either": 7 })),
        ("context.agent == \"x\" || context.args has more", json!({ "more": null })),
        ("context.args has to && context.args.to == \"x\"", json!({ "to": 5 })),
        ("context.args has sure && context.args.sure", json!({ "sure": "yes" })),
        ("context.args has note && context.args.note == \"x\"", json!({ "note": 5 })),
        (OVER, json!({ "amount_hundredths": 5 })),
        // The name of the one is the name of the other.
        ("context.args has fee_hundredths && context.args.fee_hundredths > 5", json!({ "fee": 7 })),
    ] {
        let decision = call(&forbid(condition), &arguments);
        assert_eq!(decision.verdict, Verdict::Deny, "{condition} {arguments}");
        assert_eq!(decision.errors.len(), 1, "{condition}: {}", decision.reason);
    }
    let decision = call(
        &forbid("context.args has where && context.args.where has zip"),
        &json!({ "where": { "zip": 1e20 } }),
    );
    assert!(decision.reason.contains("`where.zip`"), "{}", decision.reason);
    // A schema that takes `null` for "none" is believed; a record without its odd part is as good as any.
    let note = forbid("context.args has note");
    assert_eq!(call(&note, &json!({ "note": null })).verdict, Verdict::Allow);
    let zip = forbid("context.args has where && context.args.where has zip && context.args.where.zip > 5");
    assert_eq!(
        call(&zip, &json!({ "where": { "zip": 5, "bank": { "limit": 7.001 } } })).verdict,
        Verdict::Allow
    );
}

#[test]
fn a_claim_that_no_tag_can_hold_does_not_look_absent() {
    let snapshot = forbid("principal.hasTag(\"suspended\")");
    let decide = |claim: Value| {
        let mut ann = user(&[]);
        ann.metadata.insert("suspended".to_owned(), claim);
        ann.metadata.insert("groups".to_owned(), json!(["a"]));
        let (name, none) = ("pay__out".into(), Map::new());
        let question = Question {
            principal: &ann,
            subject: crate::policy::Subject::Call { tool: &name, arguments: &none },
            at: crate::time::Timestamp(0),
            agent: &"support".into(),
            via: Via::Chat,
            taint: &BTreeSet::new(),
            approved: None,
        };
        snapshot.decide(&question)
    };
    assert_eq!(decide(json!(null)).verdict, Verdict::Allow);
    assert_eq!(decide(json!(true)).verdict, Verdict::Deny);
    for odd in [json!(["fraud"]), json!({ "since": 2020 }), json!([])] {
        let decision = decide(odd.clone());
        assert!(
            decision.verdict == Verdict::Deny && decision.reason.contains("`suspended`"),
            "{odd}: {decision:?}"
        );
    }
}

/// What is sent, and how policies write the same: nothing where they cannot.
type Sent = (Value, Option<String>);

fn odd() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(0.125),
        json!(1e300),
        json!(-1e19),
        json!(u64::MAX),
        json!({}),
        json!([[]]),
        json!([1.5]),
        json!(null),
        json!([null]),
        json!({ "amount": 1 }),
    ])
}

fn amount() -> impl Strategy<Value = Sent> {
    let exact = (-1_000_000_i64..1_000_000).prop_map(|cents| {
        let text =
            format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        (serde_json::from_str(&text).unwrap(), Some(cents.to_string()))
    });
    prop_oneof![exact, odd().prop_map(|odd| (odd, None)), Just((json!("5"), None)), Just((json!(true), None))]
}

fn count() -> impl Strategy<Value = Sent> {
    let exact = any::<i64>()
        .prop_filter("written as -(2^63)", |n| *n != i64::MIN)
        .prop_map(|n| (json!(n), Some(n.to_string())));
    prop_oneof![exact, odd().prop_map(|odd| (odd, None)), Just((json!(3.5), None)), Just((json!("5"), None))]
}

fn text() -> impl Strategy<Value = Sent> {
    let exact = "[a-z ü😀]{0,6}".prop_map(|text| (json!(text), Some(format!("\"{text}\""))));
    prop_oneof![exact, odd().prop_map(|odd| (odd, None)), Just((json!(5), None))]
}

fn parts() -> impl Strategy<Value = Sent> {
    let exact =
        prop::collection::vec(any::<i32>(), 1..4).prop_map(|all| (json!(all), Some(json!(all).to_string())));
    let broken = (prop::collection::vec(any::<i32>(), 0..4), odd()).prop_map(|(all, odd)| {
        let mut all: Vec<Value> = all.into_iter().map(Value::from).collect();
        all.push(odd);
        (Value::Array(all), None)
    });
    prop_oneof![exact, broken, odd().prop_map(|odd| (odd, None))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_a_forbid_reads_is_in_the_question_to_the_letter_or_the_call_is_refused(
        amount in prop::option::of(amount()),
        count in prop::option::of(count()),
        to in prop::option::of(text()),
        parts in prop::option::of(parts()),
        zip in prop::option::of(count()),
        limit in prop::option::of(amount()),
    ) {
        let mut arguments = Map::new();
        let mut put = |name: &str, sent: &Option<Sent>| {
            arguments.extend(sent.as_ref().map(|(value, _)| (name.to_owned(), value.clone())));
        };
        for (name, sent) in [("amount", &amount), ("count", &count), ("to", &to), ("parts", &parts)] {
            put(name, sent);
        }
        let mut place = Map::new();
        place.extend(zip.as_ref().map(|(value, _)| ("zip".to_owned(), value.clone())));
        place.extend(limit.as_ref().map(|(value, _)| ("bank".to_owned(), json!({ "limit": value }))));
        arguments.insert("where".to_owned(), Value::Object(place));
        let arguments = Value::Object(arguments);
        for (path, sent) in [
            ("amount_hundredths", &amount), ("count", &count), ("to", &to), ("parts", &parts), ("where.zip", &zip),
            ("where.bank.limit_hundredths", &limit),
        ] {
            let there = format!("context.args has {path}");
            match sent {
                None => prop_assert_eq!(call(&forbid(&there), &arguments).verdict, Verdict::Allow, "{}", path),
                Some((_, Some(written))) => {
                    let other = forbid(&format!("{there} && context.args.{path} != {written}"));
                    prop_assert_eq!(call(&other, &arguments).verdict, Verdict::Allow, "{} {}", path, &arguments);
                    prop_assert_eq!(call(&forbid(&there), &arguments).verdict, Verdict::Deny, "{}", path);
                }
                Some((_, None)) => {
                    let never = forbid(&format!("{there} && context.agent == \"nobody\""));
                    prop_assert_eq!(call(&never, &arguments).verdict, Verdict::Deny, "{} {}", path, &arguments);
                }
            }
        }
    }
}
