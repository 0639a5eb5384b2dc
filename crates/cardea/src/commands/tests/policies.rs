//! `check` and `policy test`: a set that cannot do what it says is told as one.

use std::fs;

use super::{End, run_in, started};

const FORBID: &str = "@id(\"no-refunds\") forbid (principal, action == Action::\"ops__orders_process_refnd\", resource);\n\
                      @id(\"repo\") permit (principal, action == Action::\"github__get_repository\", resource);";

#[test]
fn a_forbid_with_a_misspelt_tool_is_told_by_check_and_named_as_set_aside() {
    let dir = started();
    let before = run_in(dir.path(), &["check"]).out;
    assert!(before.contains("policies    4, and 1 built in; version "), "{before}");
    fs::write(dir.path().join("policies/more.cedar"), FORBID).unwrap();
    let ran = run_in(dir.path(), &["check"]);
    assert!(ran.err.contains("did you mean `ops__orders_process_refund`?"), "{}", ran.err);
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
    let case = |tool: &str, expect: &str| format!("[[case]]\ntool = \"{tool}\"\nexpect = \"{expect}\"\n");
    fs::write(dir.path().join("policies/more.cedar"), FORBID).unwrap();
    let folder = dir.path().join("policies");
    // Both ways of naming the folder know the connectors' tools.
    for words in [&["policy", "test"][..], &["policy", "test", folder.to_str().unwrap()]] {
        fs::write(&cases, case("github__get_repository", "allow")).unwrap();
        let ran = run_in(dir.path(), words);
        assert!(ran.end == End::Good && ran.err.contains("no-refunds"), "{}{}", ran.out, ran.err);
        for (tool, expect, says) in [
            ("github__get_repositry", "deny", "did you mean `github__get_repository`?"),
            ("ops__orders_process_refnd", "hidden", "did you mean `ops__orders_process_refund`?"),
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
