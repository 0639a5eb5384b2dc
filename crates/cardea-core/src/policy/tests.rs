//! What every policy set must keep to.

mod authors;
mod unseen;

use serde_json::{Map, json};

use super::*;
use crate::{
    principal::Proof,
    tool::{Effect, ToolSpec},
};

fn tool(name: &str, effect: Effect, sends_outside: bool) -> ToolSpec {
    ToolSpec {
        name: name.into(),
        description: String::new(),
        input_schema: json!({ "type": "object", "required": ["amount"],
                              "properties": { "amount": { "type": "number" }, "note": { "type": "string" } } }),
        effect,
        idempotent: false,
        sends_outside,
        examples: Vec::new(),
        cache: None,
        clears: Vec::new(),
    }
}

fn tools() -> Vec<ToolSpec> {
    vec![
        tool("ops__get", Effect::Read, false),
        tool("ops__refund", Effect::Write, false),
        tool("mail__send", Effect::Write, true),
    ]
}

fn compile(text: &str) -> Result<Snapshot, Vec<Problem>> {
    Snapshot::compile(&[Source::built_in(APPROVER), Source::new("test.cedar", text)], &tools())
}

fn user(roles: &[&str]) -> Principal {
    Principal {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..Principal::new("acme", "ann", "test", Proof::Jwt)
    }
}

/// Asks about one call.
fn ask(
    snapshot: &Snapshot,
    roles: &[&str],
    name: &str,
    arguments: &Map<String, Value>,
    around: Around<'_>,
) -> Decision {
    let taint = around.taint.iter().map(|word| (*word).to_owned()).collect();
    snapshot.decide(&Question {
        principal: &user(roles),
        subject: Subject::Call { tool: &name.into(), arguments },
        at: Timestamp(0),
        agent: &"support".into(),
        via: Via::Chat,
        taint: &taint,
        approved: around.approved,
    })
}

#[derive(Default)]
struct Around<'a> {
    taint: &'a [&'a str],
    approved: Option<&'a Approved>,
}

fn amount(value: Value) -> Map<String, Value> {
    Map::from_iter([("amount".to_owned(), value)])
}

const REFUNDS: &str = r#"
    @id("support") permit (principal in Role::"support", action in Action::"call", resource);
    @id("large") @approval("role:supervisor") @reason("too much for one person.")
    forbid (principal, action == Action::"ops__refund", resource)
    when { context.args.amount_hundredths > 10000 } unless { context has approval };
"#;

#[test]
fn what_nobody_permits_is_refused() {
    let snapshot = compile(REFUNDS).unwrap();
    let stranger = ask(&snapshot, &[], "ops__get", &amount(json!(1)), Around::default());
    assert_eq!(stranger.verdict, Verdict::Deny);
    let unknown = ask(&snapshot, &["support"], "ops__unheard_of", &amount(json!(1)), Around::default());
    assert_eq!(unknown.verdict, Verdict::Deny, "a tool outside the catalogue");
}

#[test]
fn the_same_name_at_two_issuers_is_two_users() {
    let text = r#"
        @id("hers") permit (principal == User::"acme/https:%2F%2Fidp.example/ann", action in Action::"call", resource);
    "#;
    let snapshot = compile(text).unwrap();
    let asks = |issuer: &str, name: &str| {
        let principal = Principal { issuer: issuer.into(), user: name.into(), ..user(&[]) };
        let (tool, arguments, agent) = ("ops__get".into(), amount(json!(1)), "support".into());
        let subject = Subject::Call { tool: &tool, arguments: &arguments };
        let (at, taint) = (Timestamp(0), BTreeSet::new());
        let question = Question {
            principal: &principal,
            subject,
            at,
            agent: &agent,
            via: Via::Chat,
            taint: &taint,
            approved: None,
        };
        snapshot.decide(&question).verdict
    };
    assert_eq!(asks("https://idp.example", "ann"), Verdict::Allow);
    assert_eq!(asks("https://other.example", "ann"), Verdict::Deny);
    // Names that would be the same text if their slashes were not escaped.
    assert_eq!(asks("https:", "/idp.example/ann"), Verdict::Deny);
    assert_eq!(asks("https:%2F%2Fidp.example", "ann"), Verdict::Deny);
}

#[test]
fn an_amount_that_cannot_be_weighed_is_refused_and_not_let_through() {
    let snapshot = compile(REFUNDS).unwrap();
    let verdict =
        |value: Value| ask(&snapshot, &["support"], "ops__refund", &amount(value), Around::default()).verdict;
    assert_eq!(verdict(json!(100)), Verdict::Allow);
    assert!(matches!(verdict(json!(100.01)), Verdict::NeedsApproval { .. }));
    // ATTACKS H03, D07: a text, a fraction of a cent, a number beyond all bounds, none at all.
    for odd in [json!("100"), json!(1.001), json!(1e300), json!(null), json!([1]), json!({ "a": 1 })] {
        assert_eq!(verdict(odd.clone()), Verdict::Deny, "{odd}");
    }
    let none = ask(&snapshot, &["support"], "ops__refund", &Map::new(), Around::default());
    assert_eq!(none.verdict, Verdict::Deny);
    assert_eq!(none.errors.iter().map(|id| &**id).collect::<Vec<_>>(), ["large"], "the error is named");
}

#[test]
fn an_approval_counts_only_from_a_role_that_is_asked_for() {
    let snapshot = compile(REFUNDS).unwrap();
    let by = |role: &str| Approved { by: "sue".into(), roles: BTreeSet::from([role.to_owned()]) };
    let decide = |approved: &Approved| {
        let around = Around { approved: Some(approved), ..Around::default() };
        ask(&snapshot, &["support"], "ops__refund", &amount(json!(250)), around).verdict
    };
    assert_eq!(decide(&by("supervisor")), Verdict::Allow);
    assert!(matches!(decide(&by("intern")), Verdict::NeedsApproval { .. }));
    let around = Around { approved: Some(&by("supervisor")), ..Around::default() };
    let stranger = ask(&snapshot, &[], "ops__refund", &amount(json!(250)), around);
    assert_eq!(stranger.verdict, Verdict::Deny, "an approval is no permit");
}

#[test]
fn two_forbids_are_lifted_only_by_somebody_whom_both_name() {
    let more = r#"
        @id("odd") @approval("role:auditor, role:board") forbid (principal, action == Action::"ops__refund", resource)
        when { context.args.amount_hundredths > 20000 } unless { context has approval };
    "#;
    let decide = |approvers: &str, roles: &[&str]| {
        let text = REFUNDS.replace("role:supervisor", approvers) + more;
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let approved = Approved { by: "sue".into(), roles };
        let around = Around { approved: Some(&approved), ..Around::default() };
        ask(&compile(&text).unwrap(), &["support"], "ops__refund", &amount(json!(250)), around).verdict
    };
    let both = "role:supervisor, role:board";
    assert_eq!(decide(both, &["board"]), Verdict::Allow);
    for one in ["supervisor", "auditor"] {
        let verdict = decide(both, &[one]);
        assert_eq!(verdict, Verdict::NeedsApproval { roles: BTreeSet::from(["board".to_owned()]) }, "{one}");
    }
    assert_eq!(
        decide("role:supervisor", &["supervisor", "auditor"]),
        Verdict::Deny,
        "nobody is named by both"
    );
}

#[test]
fn nothing_goes_outside_after_untrusted_text() {
    let snapshot = compile(REFUNDS).unwrap();
    let decide = |name: &str, taint: &[&str]| {
        ask(&snapshot, &["support"], name, &amount(json!(1)), Around { taint, ..Around::default() }).verdict
    };
    assert_eq!(decide("mail__send", &[]), Verdict::Allow);
    assert!(matches!(decide("mail__send", &["tool_result"]), Verdict::NeedsApproval { .. }));
    assert_eq!(decide("ops__refund", &["tool_result"]), Verdict::Allow, "it stays in the house");
}

#[test]
fn a_list_shows_what_some_arguments_would_allow() {
    let snapshot = compile(REFUNDS).unwrap();
    let listed = |roles: &[&str]| {
        let question = Question {
            principal: &user(roles),
            subject: Subject::List { tool: &"ops__refund".into() },
            at: Timestamp(0),
            agent: &"support".into(),
            via: Via::Chat,
            taint: &BTreeSet::new(),
            approved: None,
        };
        snapshot.decide(&question).verdict
    };
    assert_eq!(listed(&["support"]), Verdict::Allow);
    assert_eq!(listed(&["guest"]), Verdict::Deny);
}

#[test]
fn a_broken_policy_is_named_by_file_line_and_column() {
    for (text, line, says) in [
        ("@id(\"a\")\npermit (principal, action == Action::\"ops__gte\", resource);", 1, "ops__gte"),
        ("@id(\"a\")\npermit (principal, action, resource)\nwhen { context.sky };", 1, "sky"),
        ("permit (principal, action, resource);", 1, "@id"),
        ("@id(\"a\") permit (principal, action, resource", 1, ""),
    ] {
        let problems = match compile(text) {
            Err(problems) => problems,
            // A tool that nobody has may be one that is not reachable now: told, not refused.
            Ok(snapshot) => snapshot.warnings().to_vec(),
        };
        let told = problems
            .iter()
            .any(|one| one.file == "test.cedar" && one.line >= line && one.to_string().contains(says));
        assert!(told, "`{text}`: {problems:?}");
    }
}

#[test]
fn the_shipped_policies_keep_their_own_promises() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let tools: Vec<ToolSpec> = serde_json::from_str(&read("policies/tools.json")).unwrap();
    let sources = [Source::built_in(APPROVER), Source::new("shop.cedar", read("policies/shop.cedar"))];
    let snapshot = Snapshot::compile(&sources, &tools).unwrap();
    assert_eq!(snapshot.warnings(), []);
    let matrix = Matrix::parse(&read("policies/tests/shop.toml")).unwrap();
    for report in run(&snapshot, &matrix, None) {
        assert!(report.faults.is_empty(), "{report:?}");
    }
}

#[test]
fn a_right_that_a_user_has_lost_is_lost_at_the_next_question() {
    let snapshot = compile(REFUNDS).unwrap();
    let decide =
        |roles: &[&str]| ask(&snapshot, roles, "ops__refund", &amount(json!(1)), Around::default()).verdict;
    for _ in 0..2 {
        assert_eq!(decide(&["support"]), Verdict::Allow);
        assert_eq!(decide(&[]), Verdict::Deny, "the same user, without the role");
    }
}

#[test]
fn a_name_that_nobody_has_is_told_with_the_one_that_was_meant() {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let names = Installation {
        servers: all(&["weather"]),
        connectors: all(&["mail"]),
        agents: all(&["support"]),
        models: all(&["rehearsal"]),
        issuers: all(&["https://idp.example/a"]),
        claims: all(&["plan"]),
    };
    let told = |means: &str, scope: &str, when: &str| {
        let text = format!("@id(\"x\") {means} ({scope}) when {{ {when} }};");
        let set = Snapshot::compile_among(&[Source::new("test.cedar", text)], &tools(), &names);
        let set = set.unwrap_or_else(|problems| panic!("{when}: {problems:?}"));
        let lines: Vec<String> = set.warnings().iter().map(ToString::to_string).collect();
        let names =
            lines.into_iter().filter(|line| !line.contains("never apply")).collect::<Vec<_>>().join("\n");
        (names, set.void().len())
    };
    let any = "principal, action in Action::\"call\", resource";
    let [get, complete, restore] = [
        "principal, action == Action::\"ops__get\", resource",
        "principal, action == Action::\"complete\", resource",
        "principal, action == Action::\"restore\", resource",
    ];
    for (scope, when, says) in [
        (any, "resource in Server::\"wether\"", "no server is named `wether`"),
        (any, "resource in Server::\"wether\"", "did you mean `weather`?"),
        (any, "resource.server == \"wether\"", "did you mean `weather`?"),
        (any, "resource == Tool::\"mail__sent\"", "did you mean `mail__send`?"),
        (any, "[\"mail__sent\"].contains(resource.name)", "did you mean `mail__send`?"),
        (any, "resource == Tool::\"away__all\"", "no upstream and no connector `away`"),
        (any, "resource.effect == \"wirte\"", "did you mean `write`?"),
        (get, "context.agent == \"supprt\"", "did you mean `support`?"),
        (get, "[\"a\", \"supprt\"].contains(context.agent)", "did you mean `support`?"),
        (get, "\"MCP\" == context.via", "no way in is named `MCP`"),
        (get, "context.via != \"MCP\"", "did you mean `mcp`?"),
        (get, "principal == User::\"bob\"", "TENANT/ISSUER/NAME"),
        (get, "principal.proof == \"apikey\"", "did you mean `api_key`?"),
        (complete, "resource == Model::\"rehersal\"", "did you mean `rehearsal`?"),
        (restore, "resource == Agent::\"suport\"", "did you mean `support`?"),
        ("principal, action == Action::\"mail__sned\", resource", "true", "did you mean `mail__send`?"),
        ("principal, action == Action::\"wirte\", resource", "true", "did you mean `write`?"),
        ("principal, action, resource in Server::\"wether\"", "true", "did you mean `weather`?"),
    ] {
        let (lines, void) = told("forbid", scope, when);
        assert!(
            lines.contains(says) && lines.contains("test.cedar:1:") && lines.contains("`x`"),
            "{when}: {lines}"
        );
        assert!(void >= 1, "{when}: {lines}");
        let (lines, void) = told("permit", scope, when);
        assert!(lines.contains(says) && void == 0, "a `permit` may be for elsewhere: {lines}");
    }
    // What may be there later is told, and no more.
    for (scope, when, says) in [
        (any, "resource == Tool::\"weather__now\"", "may be away"),
        (any, "resource == Tool::\"ops__gett\"", "did you mean `ops__get`?"),
        ("principal, action == Action::\"weather__now\", resource", "true", "may be away"),
        (get, "principal == User::\"acme/https:%2F%2Fidp.example%2Fb/ann\"", "its issuer"),
        (get, "principal.issuer == \"https://idp.example/b\"", "did you mean `https://idp.example/a`?"),
    ] {
        let (lines, void) = told("forbid", scope, when);
        assert!(lines.contains(says) && void == 0, "{when}: {lines}");
    }
    for (scope, when) in [
        (
            any,
            "resource in Server::\"weather\" || resource in Server::\"ops\" || resource in Server::\"mail\"",
        ),
        (any, "resource == Tool::\"ops__get\" && context.via == \"undo\" && context.agent == \"direct\""),
        (get, "principal == User::\"acme/https:%2F%2Fidp.example%2Fa/an/n\""),
        (get, "principal == User::\"acme/cardea:embedded/ann\""),
        (complete, "resource == Model::\"rehearsal\" && context.via == \"openai\""),
        (restore, "resource == Agent::\"support\" && context.label == \"EMAIL\""),
    ] {
        assert_eq!(told("forbid", scope, when), (String::new(), 0), "{when}");
    }
}

#[test]
fn a_tool_that_begins_to_send_data_outside_makes_another_set_and_is_judged_as_such() {
    let set = |change: fn(&mut ToolSpec)| {
        let mut tool = tool("ops__refund", Effect::Write, false);
        change(&mut tool);
        Snapshot::compile(&[Source::built_in(APPROVER), Source::new("test.cedar", REFUNDS)], &[tool]).unwrap()
    };
    let (before, after) = (set(|_| {}), set(|tool| tool.sends_outside = true));
    let tainted = Around { taint: &["tool_result"], ..Around::default() };
    let ask = |set: &Snapshot| ask(set, &["support"], "ops__refund", &amount(json!(1)), Around { ..tainted });
    assert_eq!(ask(&before).verdict, Verdict::Allow);
    assert!(matches!(ask(&after).verdict, Verdict::NeedsApproval { .. }));
    assert_ne!(before.version(), after.version());
    assert_ne!(before.version(), set(|tool| tool.idempotent = true).version());
    assert_eq!(before.version(), set(|tool| tool.description = "Gives money back.".to_owned()).version());
}

#[test]
fn a_tool_that_is_away_may_stand_in_a_condition() {
    let any = "permit (principal in Role::\"support\", action in Action::\"call\", resource)";
    for condition in [
        "when { action == Action::\"ops__note\" }",
        "when { action == Action::\"ops__note\" && context.args.text == \"x\" }",
        "unless { [Action::\"ops__note\", Action::\"ops__get\"].contains(action) }",
        "unless { action in [Action::\"ops__note\"] }",
    ] {
        let text = format!("@id(\"x\") {any} {condition};");
        for tools in [&[][..], &tools()] {
            let names =
                Installation { servers: BTreeSet::from(["ops".to_owned()]), ..Installation::default() };
            let set = Snapshot::compile_among(&[Source::new("test.cedar", &text)], tools, &names);
            let set = set.unwrap_or_else(|problems| panic!("{condition}: {problems:?}"));
            let told: Vec<String> = set.warnings().iter().map(ToString::to_string).collect();
            assert!(
                told.iter().any(|line| line.contains("no tool is named `ops__note`")),
                "{condition}: {told:?}"
            );
            assert_eq!(set.void().len(), 0, "its server may be away");
            if !tools.is_empty() {
                let get = ask(&set, &["support"], "ops__get", &amount(json!(1)), Around::default());
                let refund = ask(&set, &["support"], "ops__refund", &amount(json!(1)), Around::default());
                let left_out = [get, refund].map(|one| one.verdict == Verdict::Deny);
                let wanted = match condition {
                    when if when.starts_with("when") => [true, true],
                    listed if listed.contains("ops__get") => [true, false],
                    _ => [false, false],
                };
                assert_eq!(left_out, wanted, "{condition}");
            }
        }
    }
    // A slip is told as it is in the scope: what hangs on it holds for nothing.
    let slip = "@id(\"x\") forbid (principal, action, resource) when { action == Action::\"ops__nota\" };";
    let mut tools = tools();
    tools.push(tool("ops__note", Effect::Write, false));
    let names = Installation { connectors: BTreeSet::from(["ops".to_owned()]), ..Installation::default() };
    let set = Snapshot::compile_among(&[Source::new("test.cedar", slip)], &tools, &names).unwrap();
    let told = set.void().iter().map(ToString::to_string).collect::<String>();
    assert!(
        told.contains("no tool is named `ops__nota`") && told.contains("did you mean `ops__note`?"),
        "{told}"
    );
}
