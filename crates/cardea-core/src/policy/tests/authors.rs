//! What an author of policies can get wrong is told, before anybody runs into it.

use std::collections::BTreeSet;

use super::{
    Approved, Around, Installation, Matrix, Snapshot, Source, Verdict, amount, ask, compile, run, tools,
};
use crate::{agent::Agent, policy::Among};

const ALL: &str = "@id(\"all\") permit (principal, action, resource);\n";

/// What is wrong with this policy, or odd about it.
fn told(policy: &str) -> (Vec<String>, usize) {
    match compile(&format!("{ALL}{policy}")) {
        Ok(set) => (set.warnings().iter().map(ToString::to_string).collect(), set.void().len()),
        Err(problems) => (problems.iter().map(|one| format!("refused: {one}")).collect(), problems.len()),
    }
}

fn approval(roles: &str, action: &str, rest: &str) -> String {
    format!(
        "@id(\"four-eyes\") @approval(\"{roles}\")\nforbid (principal, action {action}, resource) {rest};"
    )
}

const LIFTED: &str = "unless { context has approval }";

#[test]
fn an_approval_that_nobody_could_give_is_refused() {
    let refund = "== Action::\"ops__refund\"";
    assert_eq!(told(&approval("role:a, role:b", refund, LIFTED)).0, [""; 0]);
    for (policy, says) in [
        (approval("role:a", refund, ""), "`@approval` lifts nothing"),
        (approval("role:a", refund, "when { context has approval }"), "unless { context has approval }"),
        (approval("role:a; role:b", refund, LIFTED), "commas"),
        (approval("role:a or role:b", refund, LIFTED), "commas"),
        (approval("role:a|b", refund, LIFTED), "commas"),
        (approval("role:a", "== Action::\"complete\"", LIFTED), "`complete` cannot wait for an approval"),
        (
            approval("role:a", "in [Action::\"ops__refund\", Action::\"restore\"]", LIFTED),
            "`restore` cannot wait",
        ),
    ] {
        let (lines, _) = told(&policy);
        let all = lines.join("\n");
        assert!(all.contains(says) && all.contains("refused: test.cedar:2:"), "{policy}: {all}");
    }
}

#[test]
fn two_approvals_that_no_one_person_can_give_are_told_before_and_in_the_refusal() {
    let policy = approval("role:finance", "== Action::\"mail__send\"", LIFTED);
    let (lines, void) = told(&policy);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains("test.cedar:2:") && void == 0, "a note at the later one: {line}");
    for part in
        ["`four-eyes`", "`outside-after-untrusted`", "`finance`", "`supervisor`", "`mail__send`", "nobody"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    let large =
        approval("role:supervisor", "== Action::\"mail__send\"", LIFTED).replace("four-eyes", "large");
    let (lines, _) = told(&(large + &policy));
    assert!(
        lines.len() == 2 && lines.iter().any(|line| line.contains("`large`")),
        "each pair is told: {lines:?}"
    );
    // What sends nothing outside never meets the built-in one; nor do those of two tenants, or of one role.
    for (roles, action) in [
        ("role:finance", "== Action::\"ops__refund\""),
        ("role:finance, role:supervisor", "== Action::\"mail__send\""),
    ] {
        assert_eq!(told(&approval(roles, action, LIFTED)).0, [""; 0], "{roles}");
    }
    let of = |tenant: &str, role: &str| {
        approval(&format!("role:{role}"), "== Action::\"ops__refund\"", LIFTED)
            .replace("four-eyes", role)
            .replace("(principal", &format!("(principal in {tenant}"))
    };
    let both = |one: &str, two: &str| told(&(of(one, "a") + &of(two, "b"))).0.len();
    assert_eq!(both("Tenant::\"x\"", "Tenant::\"y\""), 0);
    assert_eq!(both("Role::\"x\"", "Role::\"y\""), 1);

    let snapshot = compile(&format!("{ALL}{policy}")).unwrap();
    for roles in [None, Some("finance"), Some("supervisor")] {
        let approved =
            roles.map(|role| Approved { by: "sue".into(), roles: BTreeSet::from([role.to_owned()]) });
        let around = Around { taint: &["document"], approved: approved.as_ref() };
        let decision = ask(&snapshot, &[], "mail__send", &amount(1.into()), around);
        assert_eq!(decision.verdict, Verdict::Deny);
        let reason = &decision.reason;
        assert!(reason.contains("Policy `four-eyes` asks for an approval."), "{reason}");
        assert!(reason.contains("different roles, and nobody can approve for all of them"), "{reason}");
    }
}

fn matrix(case: &str) -> Matrix {
    Matrix::parse(&format!("[[case]]\n{case}\n")).unwrap()
}

fn all(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn names() -> Installation {
    Installation {
        agents: all(&["support", "sales"]),
        models: all(&["rehearsal"]),
        issuers: all(&["https://corp.example"]),
        claims: all(&["plan"]),
        ..Installation::default()
    }
}

fn agent(name: &str, tools: &str) -> Agent {
    let text =
        format!("model = \"rehearsal\"\ninstructions = \"x\"\nrestore = [\"EMAIL\"]\ntools = [{tools}]\n");
    Agent::parse(name, &text).unwrap()
}

#[test]
fn what_cannot_wait_is_denied_in_a_case_as_it_is_by_a_server() {
    let text = "@id(\"ask\") @approval(\"role:boss\") forbid (principal, action, resource) unless { context has approval };";
    let snapshot = compile(&format!("{ALL}{text}")).unwrap();
    for case in ["model = \"rehearsal\"", "restore = \"EMAIL\""] {
        for more in ["", "approved_by = [\"boss\"]\n"] {
            let reports = run(
                &snapshot,
                &matrix(
                    &format!("{case}\n{more}expect = \"deny\"\nreason = \"only calls of tools\"")
                        .replace("only", "Only"),
                ),
                None,
            );
            assert_eq!(reports[0].faults, [""; 0], "{case}");
        }
    }
    let call = "tool = \"ops__get\"\narguments = { amount = 1 }\nexpect = \"approval\"";
    assert_eq!(run(&snapshot, &matrix(call), None)[0].faults, [""; 0]);
}

#[test]
fn a_case_about_a_name_that_nobody_has_is_bad_whatever_it_expects() {
    let snapshot = compile(ALL).unwrap();
    let (names, agents) = (names(), [agent("support", "\"ops__*\""), agent("sales", "\"mail__*\"")]);
    let among = Among { names: &names, agents: agents.iter().collect() };
    let tool = "tool = \"ops__get\"\narguments = { amount = 1 }\nexpect = \"allow\"\n";
    let faults =
        |case: &str, known: bool| run(&snapshot, &matrix(case), known.then_some(&among))[0].faults.join("\n");
    assert_eq!(faults(tool, true), "");
    for (more, says, always) in [
        ("agent = \"suport\"", "no agent is named `suport`; did you mean `support`?", false),
        ("agent = \"sales\"", "the agent `sales` never asks for this", false),
        ("issuer = \"https://corp.exmple\"", "did you mean `https://corp.example`?", false),
        ("via = \"MCP\"", "did you mean `mcp`?", true),
        ("taint = [\"toolresult\"]", "did you mean `tool_result`?", true),
        ("taint = [\"cach\"]", "did you mean `cache`?", true),
    ] {
        let case = format!("{tool}{more}");
        assert!(faults(&case, true).contains(says), "{more}: {}", faults(&case, true));
        assert_eq!(faults(&case, false).contains(says), always, "{more}");
    }
    let model = "model = \"rehersal\"\nexpect = \"allow\"";
    assert!(faults(model, true).contains("did you mean `rehearsal`?"), "{}", faults(model, true));
    let label = "restore = \"EMIAL\"\nexpect = \"allow\"";
    assert!(faults(label, false).contains("did you mean `EMAIL`?"), "{}", faults(label, false));
    for good in
        ["agent = \"support\"", "agent = \"direct\"\nvia = \"mcp\"", "issuer = \"https://corp.example\""]
    {
        assert_eq!(faults(&format!("{tool}{good}"), true), "", "{good}");
    }
    for bad in ["hour = 24", "weekday = 0", "weekday = 8"] {
        assert!(Matrix::parse(&format!("[[case]]\n{tool}{bad}")).is_err(), "{bad}");
    }
}

#[test]
fn a_case_without_an_agent_is_asked_as_each_that_could() {
    let text = format!("{ALL}@id(\"not-sales\") forbid (principal, action in Action::\"call\", resource) when {{ context.agent == \"sales\" }};
        @id(\"not-bare\") forbid (principal, action == Action::\"complete\", resource) when {{ context.via == \"openai\" }};");
    let snapshot = compile(&text).unwrap();
    let (names, agents) = (names(), [agent("support", "\"ops__*\""), agent("sales", "\"*\"")]);
    let among = Among { names: &names, agents: agents.iter().collect() };
    let faults = |case: &str| run(&snapshot, &matrix(case), Some(&among))[0].faults.clone();
    let refund = "tool = \"ops__refund\"\narguments = { amount = 1 }\n";
    for expect in ["allow", "deny"] {
        let found = faults(&format!("{refund}expect = \"{expect}\""));
        assert!(matches!(found.as_slice(), [one] if one.contains("as the agent `s")), "{expect}: {found:?}");
    }
    assert_eq!(faults(&format!("{refund}expect = \"allow\"\nagent = \"support\"")), [""; 0]);
    assert_eq!(
        faults(&format!("{refund}expect = \"allow\"\nvia = \"mcp\"")),
        [""; 0],
        "no agent calls there"
    );
    assert_eq!(
        faults("tool = \"mail__send\"\narguments = { amount = 1 }\nexpect = \"deny\""),
        [""; 0],
        "only sales has it"
    );
    assert_eq!(
        faults("model = \"rehearsal\"\nexpect = \"deny\"\npolicy = \"not-bare\""),
        [""; 0],
        "as a server asks"
    );
}

#[test]
fn a_condition_that_can_never_hold_is_told() {
    let names = names();
    let lines = |means: &str, action: &str, condition: &str, known: bool| {
        let text = format!("@id(\"x\") {means} (principal, action {action}, resource) {condition};");
        let sources = [Source::new("test.cedar", text)];
        let set = if known {
            Snapshot::compile_among(&sources, &tools(), &names)
        } else {
            Snapshot::compile(&sources, &tools())
        };
        let set = set.unwrap_or_else(|problems| panic!("{condition}: {problems:?}"));
        (set.warnings().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), set.void().len())
    };
    let (call, restore) = ("in Action::\"call\"", "== Action::\"restore\"");
    for (action, condition, says) in [
        (call, "context.taint.contains(\"toolresult\")", "did you mean `tool_result`?"),
        (call, "context.taint.containsAny([\"document\", \"memry\"])", "did you mean `memory`?"),
        (call, "context.time.weekday == 0", "Monday is 1"),
        (call, "context.time.hour >= 24", "hours are 0 to 23"),
        (restore, "context.label == \"CRAD\"", "did you mean `CARD`?"),
    ] {
        for known in [true, false] {
            let (told, void) = lines("forbid", action, &format!("when {{ {condition} }}"), known);
            assert!(told.contains(says) && void == 1, "{condition}: {told}");
            assert!(told.contains("test.cedar:1:") && told.contains("`x`"), "{told}");
        }
        let (told, void) = lines("permit", action, &format!("unless {{ {condition} }}"), true);
        assert!(told.contains(says) && void == 1, "an exception that never holds permits: {told}");
    }
    let (told, void) = lines("forbid", call, "when { principal.hasTag(\"paln\") }", true);
    assert!(told.contains("did you mean `plan`?") && void == 0, "an embedder may give it: {told}");
    for user in ["acme/https://corp.example/ann", "acme/https://other.example/ann"] {
        let (told, void) = lines("forbid", call, &format!("when {{ principal == User::\"{user}\" }}"), true);
        let meant = user.replace("://", ":%2F%2F");
        assert!(told.contains(&format!("`{meant}`")) && void == 1, "{told}");
    }
    for good in [
        "when { context.taint.containsAny([\"tool_result\", \"suspicious\", \"user\"]) }",
        "when { context.time.weekday == 7 && context.time.hour >= 0 }",
        "when { principal.hasTag(\"plan\") && principal.getTag(\"plan\") == \"free\" }",
        "when { principal == User::\"acme/https:%2F%2Fcorp.example/a/nn\" }",
    ] {
        assert_eq!(lines("forbid", call, good, true), (String::new(), 0), "{good}");
    }
}
