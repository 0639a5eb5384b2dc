//! `check` and `policy test`: a set that cannot do what it says is told as one.

use std::fs;

use super::{End, run_in, started};

const FORBID: &str = "@id(\"no-refunds\") forbid (principal, action == Action::\"ops__process_refnd\", resource);\n\
                      @id(\"repo\") permit (principal, action == Action::\"github__get_repository\", resource);";

#[test]
fn a_forbid_with_a_misspelt_tool_is_told_by_check_and_named_as_set_aside() {
    let dir = started();
    let before = run_in(dir.path(), &["check"]).out;
    assert!(before.contains("policies    4, and 1 built in; version "), "{before}");
    fs::write(dir.path().join("policies/more.cedar"), FORBID).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.err.contains("did you mean `ops__process_refund`?"), "{}", ran.err);
    assert!(ran.err.contains("`no-refunds`") && !ran.err.contains("github__"), "{}", ran.err);
    assert!(ran.out.contains("5 of 6 (set aside, since nobody has their tools: no-refunds)"), "{}", ran.out);
    let told = run_in(dir.path(), &["check", "--json"]).json();
    assert_eq!(told["set_aside"][0], "no-refunds");
    assert!(told["warnings"][0].as_str().unwrap().contains("more.cedar:1:"), "{told}");
}

#[test]
fn a_case_about_a_tool_that_nobody_has_holds_for_nothing() {
    let dir = started();
    let cases = dir.path().join("policies/tests/more.toml");
    let case = |tool: &str, expect: &str| {
        format!(
            "[[case]]\ntool = \"{tool}\"\narguments = {{ owner = \"rust-lang\", repo = \"rust\" }}\nexpect = \"{expect}\"\n"
        )
    };
    fs::write(dir.path().join("policies/more.cedar"), FORBID).unwrap();
    let folder = dir.path().join("policies");
    // Both ways of naming the folder know the connectors' tools.
    for words in [&["policy", "test"][..], &["policy", "test", folder.to_str().unwrap()]] {
        fs::write(&cases, case("github__get_repository", "allow")).unwrap();
        let ran = run_in(dir.path(), words);
        assert!(ran.end == End::Good && ran.err.contains("no-refunds"), "{}{}", ran.out, ran.err);
        for (tool, expect, says) in [
            ("github__get_repositry", "deny", "did you mean `github__get_repository`?"),
            ("ops__process_refnd", "hidden", "did you mean `ops__process_refund`?"),
            ("elsewhere__anything_at_all", "deny", "tools.json"),
        ] {
            fs::write(&cases, case(tool, expect)).unwrap();
            let ran = run_in(dir.path(), words);
            assert!(ran.end == End::Bad && ran.out.contains("BAD"), "{tool}: {}{}", ran.out, ran.err);
            assert!(ran.out.contains(&format!("no tool is named `{tool}`; ")), "{}", ran.out);
            assert!(ran.out.contains(says), "{}", ran.out);
        }
    }
    fs::write(dir.path().join("connectors/github.toml"), "nonsense").unwrap();
    let ran = run_in(dir.path(), &["policy", "test", folder.to_str().unwrap()]);
    assert!(ran.end == End::Bad && ran.err.contains("github.toml"), "{}", ran.err);
}

#[test]
fn a_policy_file_is_read_up_to_its_bound_only() {
    let dir = started();
    let file = dir.path().join("policies/large.cedar");
    fs::write(&file, "// a line\n".repeat(120_000)).unwrap();
    for words in [&["check"][..], &["policy", "test"]] {
        let ran = run_in(dir.path(), words);
        assert!(ran.end != End::Good && ran.err.contains("larger than 1MiB"), "{}{}", ran.out, ran.err);
    }
    #[cfg(unix)]
    {
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        let ran = run_in(dir.path(), &["check"]);
        assert!(ran.end == End::Bad && ran.err.contains("large.cedar"), "{}{}", ran.out, ran.err);
    }
}

#[test]
fn a_forbid_that_names_nobody_is_not_good() {
    let dir = started();
    let file = dir.path().join("policies/more.cedar");
    for (scope, when, says) in [
        ("principal, action, resource in Server::\"opps\"", "true", "no server is named `opps`"),
        (
            "principal, action == Action::\"github__get_repositry\", resource",
            "true",
            "did you mean `github__get_repository`?",
        ),
        (
            "principal, action == Action::\"github__get_repository\", resource",
            "context.agent == \"suport\"",
            "did you mean `support`?",
        ),
        (
            "principal, action == Action::\"github__get_repository\", resource",
            "context.via == \"MCP\"",
            "did you mean `mcp`?",
        ),
        (
            "principal, action == Action::\"complete\", resource == Model::\"rehersal\"",
            "true",
            "did you mean `rehearsal`?",
        ),
    ] {
        fs::write(&file, format!("// one\n@id(\"no\") forbid ({scope}) when {{ {when} }};")).unwrap();
        let ran = run_in(dir.path(), &["check"]);
        assert_eq!(ran.end, End::Bad, "{when}: {}", ran.err);
        assert!(ran.err.contains("BAD: ") && ran.err.contains("more.cedar:2:"), "{}", ran.err);
        assert!(ran.err.contains(says) && ran.err.contains("`no`"), "{}", ran.err);
        assert!(ran.out.contains("is not good"), "{}", ran.out);
        let told = run_in(dir.path(), &["check", "--json"]).json();
        assert!(told["good"] == false && told["problems"][0].as_str().unwrap().contains(says), "{told}");
        fs::write(&file, format!("@id(\"yes\") permit ({scope}) when {{ {when} }};")).unwrap();
        let ran = run_in(dir.path(), &["check"]);
        assert!(
            ran.end == End::Good && ran.err.contains(says),
            "a permit is for people to judge: {}",
            ran.err
        );
    }
}

#[test]
fn a_policy_test_that_tests_nothing_is_not_good() {
    let dir = started();
    let folder = dir.path().join("policies");
    let words = ["policy", "test", folder.to_str().unwrap()];
    let cases = folder.join("tests/more.toml");
    let case = |arguments: &str, expect: &str| {
        format!("[[case]]\ntool = \"ops__get_order\"\narguments = {{ {arguments} }}\nexpect = \"{expect}\"\n")
    };
    // Refused before any policy is asked, so a `deny` proves nothing.
    for arguments in ["order_id = 17", ""] {
        fs::write(&cases, case(arguments, "deny")).unwrap();
        let ran = run_in(dir.path(), &words);
        assert!(ran.end == End::Bad && ran.out.contains("before any policy is asked"), "{}", ran.out);
    }
    fs::write(&cases, case("order_id = \"17\"", "deny") + &case("", "hidden")).unwrap();
    assert_eq!(run_in(dir.path(), &words).end, End::Good, "what is only listed has no arguments");

    // As at `serve`: what changes something and does not say sends outside.
    let taint = "[[case]]\nroles = [\"support\"]\ntool = \"ops__process_refund\"\ntaint = [\"tool_result\"]\n\
                 arguments = { order_id = \"1\", amount = 1.0 }\nexpect = \"approval\"\npolicy = \"outside-after-untrusted\"\n";
    fs::write(&cases, taint).unwrap();
    let ran = run_in(dir.path(), &words);
    assert_eq!(ran.end, End::Good, "{}", ran.out);

    fs::remove_dir_all(folder.join("tests")).unwrap();
    let named = run_in(dir.path(), &words);
    assert!(named.end == End::Bad && named.err.contains("nothing was tested"), "{}", named.err);
    let usual = run_in(dir.path(), &["policy", "test"]);
    assert!(usual.end == End::Good && usual.err.contains("nothing was tested"), "{}", usual.err);
}

#[test]
fn tools_json_is_read_to_the_letter_and_named_when_it_is_wrong() {
    let dir = started();
    let file = dir.path().join("policies/tools.json");
    let good = fs::read_to_string(&file).unwrap();
    for (text, says) in [
        (good.replacen("\"effect\"", "\"efect\"", 1), "unknown field `efect`"),
        (
            good.replacen("\"effect\"", "\"sendsOutside\": true, \"effect\"", 1),
            "unknown field `sendsOutside`",
        ),
        ("[".to_owned(), "line 1"),
    ] {
        fs::write(&file, text).unwrap();
        for words in [&["check"][..], &["policy", "test"]] {
            let ran = run_in(dir.path(), words);
            assert_eq!(ran.end, End::Bad, "{words:?}");
            assert!(ran.err.contains("tools.json") && ran.err.contains(says), "{words:?}: {}", ran.err);
        }
    }
    // What some editors write before a text is none of it.
    fs::write(&file, format!("\u{feff}{good}")).unwrap();
    let policy = dir.path().join("policies/base.cedar");
    fs::write(&policy, format!("\u{feff}{}", fs::read_to_string(&policy).unwrap())).unwrap();
    assert_eq!(run_in(dir.path(), &["policy", "test"]).end, End::Good);
}

const STAND_IN: &str = "[models.providers.rehearsal]\nkind = \"rehearsal\"\n\
     [models.providers.far]\nkind = \"openai\"\nbase_url = \"https://far.example/v1\"\n\
     [models.aliases.rehearsal]\nprovider = \"rehearsal\"\nmodel = \"rehearsal\"\n\
     [models.aliases.main]\nprovider = \"far\"\nmodel = \"far-1\"\nfallback = [\"rehearsal\"]\n";

#[test]
fn check_tells_of_files_tools_and_limits_that_do_nothing() {
    let dir = started();
    for odd in ["agents/other.tml", "agents/THIRD.TOML", "connectors/x.yml", "policies/more.txt"] {
        fs::write(dir.path().join(odd), "").unwrap();
    }
    let agent = dir.path().join("agents/support.toml");
    let text = fs::read_to_string(&agent).unwrap();
    let tools = "tools = [\"github__get_repositry\", \"opps__*\", \"ops__anything\", \"github__*\"]";
    fs::write(&agent, text.replace("tools = [\"ops__*\", \"github__*\"]", tools)).unwrap();
    let file = dir.path().join("cardea.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[limits.user_budget]\nmoney = 5.0\n{STAND_IN}")).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert_eq!(ran.end, End::Good, "{}", ran.err);
    for says in [
        "other.tml is passed over",
        "THIRD.TOML is passed over",
        "x.yml is passed over",
        "more.txt is passed over: the file of a policy ends in `.cedar`",
        "did you mean `github__get_repository`?",
        "no upstream and no connector `opps`; did you mean `ops`?",
        "without `cost.prices` nothing costs money, and these hold nobody: `limits.user_budget.money`",
        "the model `rehearsal` stands in for `models.aliases.main`: it is no language model, calls no tool there",
    ] {
        assert!(ran.err.contains(says), "{says}: {}", ran.err);
    }
    assert!(!ran.err.contains("ops__anything") && !ran.err.contains("`github__*`"), "{}", ran.err);
    let open = "[server]\nbind = \"0.0.0.0:8080\"\n[auth]\napi_keys = true\n";
    fs::write(&file, open).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.err.contains("say http://0.0.0.0:8080"), "{}", ran.err);
    let one = |name: &str, more: &str| {
        format!(
            "[auth.issuers.{name}]\nissuer = \"https://{name}.example\"\naudience = [\"cardea\"]\n\
             jwks_url = \"https://{name}.example/keys\"\ntenant_claim = \"org\"\n{more}"
        )
    };
    fs::write(&file, one("a", "") + &one("b", "tenants = [\"bolt\"]\n")).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.err.contains("`auth.issuers.a` may name any tenant"), "{}", ran.err);
    let twice = "[local_issuer]\nenabled = true\n[auth.issuers.x]\nissuer = \"cardea-try-out\"\naudience = [\"cardea\"]\n\
                 jwks_url = \"https://idp.example/keys\"\n";
    fs::write(&file, twice).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.end == End::Bad && ran.err.contains("the name of the built-in issuer"), "{}", ran.err);
    assert_eq!(run_in(dir.path(), &["demo", "--json"]).end, End::Misused);
}

#[test]
fn a_policy_that_lies_where_nobody_reads_is_told_and_not_good() {
    let dir = started();
    let at = |name: &str| dir.path().join("policies").join(name);
    for folder in ["team/more", "tests/sub", ".git"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    let case = "[[case]]\ntool = \"ops__get_order\"\narguments = { order_id = \"17\" }\nexpect = \"allow\"\n";
    fs::write(at("tests/sub/a.toml"), case).unwrap();
    fs::write(at("team/notes.cedar"), "// nothing yet").unwrap();
    fs::write(at(".git/x.cedar"), "permit (principal, action, resource);").unwrap();
    fs::write(dir.path().join("agents/README.md"), "").unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert_eq!(ran.end, End::Good, "{}", ran.err);
    for name in ["team/notes.cedar is not read", "tests/sub/a.toml is not read: cases are the files of"] {
        assert!(ran.err.contains(name), "{name}: {}", ran.err);
    }
    assert!(!ran.err.contains(".git"), "{}", ran.err);
    let ran = run_in(dir.path(), &["policy", "test"]);
    assert!(ran.err.contains("tests/sub/a.toml is not read"), "{}", ran.err);

    let stop = "@id(\"stop\") forbid (principal, action, resource);";
    for name in ["team/more/stop.cedar", "stop.CEDAR", "tests/stop.cedar"] {
        fs::write(at(name), stop).unwrap();
        let ran = run_in(dir.path(), &["check"]);
        let says = format!("{name} is not read: policies are the files of");
        assert_eq!(ran.end, End::Bad, "{name}: {}", ran.err);
        assert!(ran.err.contains("BAD: ") && ran.err.contains(&says), "{}", ran.err);
        assert_eq!(ran.err.matches(name).count(), 1, "it is told once: {}", ran.err);
        let told = run_in(dir.path(), &["check", "--json"]).json();
        assert!(told["good"] == false && told["problems"][0].as_str().unwrap().contains(&says), "{told}");
        let told = run_in(dir.path(), &["doctor"]);
        assert!(told.out.contains(&says) || told.err.contains(&says), "{}{}", told.out, told.err);
        fs::remove_file(at(name)).unwrap();
    }
    assert_eq!(run_in(dir.path(), &["check"]).end, End::Good);
}

#[test]
fn a_case_or_a_condition_with_a_slip_is_not_good() {
    let dir = started();
    let (cases, more) = (dir.path().join("policies/tests/more.toml"), dir.path().join("policies/more.cedar"));
    let case = "[[case]]\ntool = \"ops__get_order\"\narguments = { order_id = \"17\" }\nexpect = \"deny\"\n";
    for (slip, says) in [
        ("agent = \"suport\"", "did you mean `support`?"),
        ("via = \"MCP\"", "did you mean `mcp`?"),
        ("taint = [\"toolresult\"]", "did you mean `tool_result`?"),
    ] {
        fs::write(&cases, format!("{case}{slip}\n")).unwrap();
        let ran = run_in(dir.path(), &["policy", "test"]);
        assert!(ran.end == End::Bad && ran.out.contains(says), "{slip}: {}{}", ran.out, ran.err);
    }
    fs::write(&cases, "[[case]]\nmodel = \"rehersal\"\nexpect = \"deny\"\n").unwrap();
    let ran = run_in(dir.path(), &["policy", "test"]);
    assert!(ran.end == End::Bad && ran.out.contains("did you mean `rehearsal`?"), "{}", ran.out);
    fs::write(&cases, format!("{case}agent = \"support\"\n")).unwrap();
    assert_eq!(run_in(dir.path(), &["policy", "test"]).end, End::Good);
    // Too large for a policy to see: a case says so as a server does.
    let large =
        case.replace("ops__get_order", "ops__process_refund").replace("\"17\"", "\"17\", amount = 500.005");
    fs::write(&cases, format!("{large}roles = [\"support\"]\nreason = \"reads the argument `amount`\"\n"))
        .unwrap();
    let ran = run_in(dir.path(), &["policy", "test"]);
    assert_eq!(ran.end, End::Good, "{}", ran.out);
    fs::remove_file(&cases).unwrap();
    for (policy, says) in [
        ("@id(\"no\") forbid (principal, action, resource) when { context.time.hour >= 24 };", "never holds"),
        (
            "@id(\"no\") @approval(\"role:a\") forbid (principal, action in Action::\"call\", resource);",
            "`@approval` lifts nothing",
        ),
    ] {
        fs::write(&more, policy).unwrap();
        let ran = run_in(dir.path(), &["check"]);
        assert!(ran.end == End::Bad && ran.err.contains(says), "{policy}: {}", ran.err);
    }
    let finance = "@id(\"four-eyes\") @approval(\"role:finance\")\nforbid (principal, action == Action::\"ops__process_refund\", \
                   resource) unless { context has approval };";
    fs::write(&more, finance).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.end == End::Good && ran.err.contains("can be approved by nobody"), "{}", ran.err);
}
