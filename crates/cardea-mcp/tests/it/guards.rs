//! Who sees what, and who may call what: the same answer.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use cardea_mcp::{
    Args, Code, Context, Error, Result, Router, Server, State, TestClient, Tool,
    guard::{
        Ask, Guard, GuardExt, HasAllRoles, HasAllScopes, HasRole, HasScope, RequireAuth, RequireClientId,
        RequireTenant,
    },
    schemars::JsonSchema,
};
use serde::Deserialize;
use serde_json::json;

async fn nothing() -> Result<&'static str> {
    Ok("done")
}

fn tool(name: &str) -> Tool {
    Tool::new(name, nothing).about("Does nothing.").reads()
}

#[derive(Deserialize, JsonSchema)]
struct Amount {
    amount: u32,
}

async fn pay(Args(args): Args<Amount>, context: Context) -> Result<String> {
    Ok(format!("{} paid {}", context.user()?, args.amount))
}

/// Lets small amounts pass. While listing, some amount is small enough.
struct SmallAmounts;

impl Guard for SmallAmounts {
    fn check<'a>(&'a self, ask: Ask<'a>) -> futures::future::BoxFuture<'a, std::result::Result<(), Error>> {
        Box::pin(async move {
            ask.principal()?;
            match ask.arguments {
                None => Ok(()),
                Some(args) if args["amount"].as_u64().is_some_and(|amount| amount <= 100) => Ok(()),
                Some(_) => Err(Error::new(Code::Denied).detail("At most 100.")),
            }
        })
    }

    fn rule(&self) -> String {
        "amount up to 100".to_owned()
    }
}

fn server() -> Server {
    let billing = Router::new()
        .guard(HasScope::new(["billing"]))
        .tool(tool("invoice"))
        .tool(tool("ledger").guard(HasAllScopes::new(["billing", "audit"])));
    Server::new("shop", "1")
        .tool(tool("open"))
        .tool(tool("members").guard(RequireAuth))
        .tool(tool("staff").guard(HasRole::new(["admin", "support"])))
        .tool(tool("both").guard(HasAllRoles::new(["admin", "support"])))
        .tool(tool("client").guard(RequireClientId::new(["app"])))
        .tool(tool("tenant").guard(RequireTenant::new(["acme"])))
        .tool(tool("either").guard(HasRole::new(["admin"]).or(HasScope::new(["read"]))))
        .tool(tool("mixed").guard(HasRole::new(["admin"]).and(HasScope::new(["read"]))))
        .tool(tool("guests").guard(HasRole::new(["admin"]).not()))
        .tool(Tool::new("pay", pay).about("Pays.").guard(SmallAmounts))
        .router(Router::new().nest("billing_", billing))
}

#[tokio::test]
async fn what_is_listed_is_what_may_be_called() {
    let nobody = TestClient::new(server()).unwrap();
    let ann = || nobody.clone().as_user("ann");
    let callers = [
        ("nobody", nobody.clone(), "open"),
        ("ann", ann(), "guests members open pay"),
        ("admin", ann().role("admin"), "either members open pay staff"),
        ("support", ann().role("support"), "guests members open pay staff"),
        ("both", ann().role("admin").role("support"), "both either members open pay staff"),
        ("reader", ann().scope("read"), "either guests members open pay"),
        ("admin who reads", ann().role("admin").scope("read"), "either members mixed open pay staff"),
        ("of acme", ann().tenant("acme"), "guests members open pay tenant"),
        ("through app", ann().client("app"), "client guests members open pay"),
        ("biller", ann().scope("billing"), "billing_invoice guests members open pay"),
        (
            "auditor",
            ann().scope("billing").scope("audit"),
            "billing_invoice billing_ledger guests members open pay",
        ),
    ];
    for (who, client, sees) in callers {
        let listed = client.list().await;
        assert_eq!(listed.join(" "), sees, "what {who} sees");
        for (name, _) in client.service().rules() {
            let arguments = if name == "pay" { json!({ "amount": 1 }) } else { json!({}) };
            let called = client.call(&name, arguments).await;
            assert_eq!(called.code() == "done", listed.contains(&name), "{who} calls {name}: {called:?}");
        }
    }
}

#[tokio::test]
async fn a_guard_of_ones_own_decides_by_the_arguments() {
    let ann = TestClient::new(server()).unwrap().as_user("ann");
    assert_eq!(ann.call("pay", json!({ "amount": 100 })).await.value(), Some(json!("ann paid 100")));
    assert_eq!(ann.call("pay", json!({ "amount": 101 })).await.code(), "denied");
    for odd in [json!("100"), json!(-5), json!(1e2), json!(null)] {
        let called = ann.call("pay", json!({ "amount": odd })).await;
        assert_ne!(called.code(), "done", "{odd} passed: {called:?}");
    }
}

#[tokio::test]
async fn a_refusal_names_the_rule_and_nothing_else() {
    let ann = TestClient::new(server()).unwrap().as_user("ann");
    let staff = format!("{:?}", ann.call("staff", json!({})).await);
    assert!(staff.contains("role one of admin, support"), "{staff}");
    let tenant = format!("{:?}", ann.call("tenant", json!({})).await);
    assert!(!tenant.contains("acme"), "{tenant}");
    let unknown = format!("{:?}", ann.call("no_such_tool", json!({})).await);
    assert!(!unknown.contains("staff"), "{unknown}");
}

#[tokio::test]
async fn what_a_client_says_about_itself_counts_for_nothing() {
    let ann = TestClient::new(server()).unwrap().as_user("ann");
    let params = json!({
        "name": "staff", "arguments": {},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "admin", "version": "0" },
            "io.modelcontextprotocol/clientCapabilities": {},
            "role": "admin", "roles": ["admin"], "tenant": "acme",
        },
    });
    let (_, body) = ann.post("tools/call", Some("staff"), params).await;
    assert_eq!(body.pointer("/result/_meta/dev.cardea~1error/code"), Some(&json!("denied")), "{body}");
}

/// Asks a store that is away.
struct Unreachable;

impl Guard for Unreachable {
    fn check<'a>(&'a self, _: Ask<'a>) -> futures::future::BoxFuture<'a, std::result::Result<(), Error>> {
        Box::pin(async { Err(Error::new(Code::StoreUnavailable)) })
    }

    fn rule(&self) -> String {
        "on the list".to_owned()
    }

    fn is_by_arguments(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_guard_that_cannot_decide_is_no_refusal_that_could_be_turned_round() {
    let banned = || HasRole::new(["banned"]);
    let server = Server::new("shop", "1")
        .tool(tool("last").guard(banned().or(Unreachable).not()))
        .tool(tool("first").guard(Unreachable.or(banned()).not()))
        .tool(tool("deep").guard(banned().or(HasScope::new(["x"]).or(Unreachable)).not()))
        .tool(tool("either").guard(banned().or(Unreachable)));
    let ann = TestClient::new(server).unwrap().as_user("ann");
    assert_eq!(ann.list().await, [""; 0]);
    for name in ["last", "first", "deep", "either"] {
        assert_eq!(ann.call(name, json!({})).await.code(), "store_unavailable", "{name}");
    }
    let listed = ann.role("banned").list().await;
    assert_eq!(listed, ["either"], "whoever meets the other half passes");
}

/// How often the handler ran.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

async fn refund(Args(_): Args<Amount>, State(runs): State<Runs>) -> Result<u32> {
    Ok(runs.0.fetch_add(1, Ordering::SeqCst) + 1)
}

/// A server with one tool, `refund`, for those who read and pass this guard.
fn refunds(runs: &Runs, guard: impl Guard) -> Server {
    let tool = Tool::new("refund", refund).about("Gives money back.").writes().guard(guard);
    Server::new("shop", "1")
        .state(runs.clone())
        .router(Router::new().guard(HasScope::new(["read"])).tool(tool))
}

#[tokio::test]
async fn what_is_turned_round_may_pass_by_its_arguments_and_is_done_once() {
    let runs = Runs::default();
    let server = refunds(&runs, HasScope::new(["bulk"]).or(SmallAmounts.not()));
    let ann = TestClient::new(server).unwrap().as_user("ann").scope("read");
    assert_eq!(ann.list().await, ["refund"], "some amount is not small");
    assert_eq!(ann.call("refund", json!({ "amount": 500 })).await.value(), Some(json!(1)));
    assert_eq!(runs.0.load(Ordering::SeqCst), 1);
    assert_eq!(ann.call("refund", json!({ "amount": 5 })).await.code(), "scope_missing");
    assert_eq!(runs.0.load(Ordering::SeqCst), 1);
}

/// Says that a scope lacks while nobody names arguments, and lets every call pass.
struct Wavering;

impl Guard for Wavering {
    fn check<'a>(&'a self, ask: Ask<'a>) -> futures::future::BoxFuture<'a, std::result::Result<(), Error>> {
        let verdict = if ask.arguments.is_none() { Err(Code::ScopeMissing.into()) } else { Ok(()) };
        Box::pin(std::future::ready(verdict))
    }

    fn rule(&self) -> String {
        "now and then".to_owned()
    }
}

#[tokio::test]
async fn a_call_that_is_refused_for_want_of_a_scope_is_not_made_to_be_put_on_record() {
    let runs = Runs::default();
    let ann = TestClient::new(refunds(&runs, Wavering)).unwrap().as_user("ann").scope("read");
    assert_eq!(ann.call("refund", json!({ "amount": 5 })).await.code(), "scope_missing");
    assert_eq!(runs.0.load(Ordering::SeqCst), 0);
}
