//! What comes back from a handler: text, structured content, a published schema, nothing, or a wait.

use cardea_core::{
    id::{TenantId, UserId},
    time::{Clock as _, SystemClock},
};
use cardea_mcp::{
    Args, Context, ExposeSecret as _, Json, Layers, Millis, Result, Router, Server, StartError, TestClient,
    Tool,
    auth::{Claims, IssuerConfig, KeyRecord, Lifetime, NewKey, Signer},
    guard::HasScope,
    layer::Rate,
    schemars::JsonSchema,
    testing::Called,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct ById {
    id: u32,
}

#[derive(Serialize, JsonSchema)]
struct Order {
    /// In cents.
    total: u64,
    /// Left out until it has been sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    parcel: Option<Parcel>,
    #[serde(default)]
    items: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Parcel {
    number: String,
}

async fn order(Args(by): Args<ById>) -> Result<Json<Order>> {
    let parcel = (by.id > 1).then(|| Parcel { number: format!("P-{}", by.id) });
    Ok(Json(Order { total: 4_900, parcel, items: Vec::new() }))
}

async fn nothing() -> Result<()> {
    Ok(())
}

async fn none() -> Result<Option<u32>> {
    Ok(None)
}

async fn list() -> Result<Json<Vec<u32>>> {
    Ok(Json(vec![1]))
}

async fn whoami(context: Context) -> Result<String> {
    Ok(format!("{} through {:?}", context.user()?, context.client().map(ToString::to_string)))
}

fn tool<M>(name: &str, handler: impl cardea_mcp::Handler<M>) -> Tool {
    Tool::new(name, handler).about("Does as it is told.").reads()
}

#[tokio::test]
async fn a_typed_result_fits_the_schema_that_clients_saw_before_they_called() {
    let shop = TestClient::new(Server::new("s", "1").tool(tool("order", order))).unwrap();
    let (_, listed) = shop.post("tools/list", None, json!({})).await;
    let schema = &listed["result"]["tools"][0]["outputSchema"];
    assert_eq!(schema["properties"]["total"]["description"], "In cents.");
    assert_eq!(
        schema["required"],
        json!(["total", "items"]),
        "a default does not mean that it may be missing"
    );
    let validator = jsonschema::validator_for(schema).unwrap();
    for id in [1, 2] {
        let answer = shop.call("order", json!({ "id": id })).await;
        let value = answer.value().unwrap();
        assert!(validator.is_valid(&value), "{value} does not fit {schema}");
        assert_eq!(value.pointer("/parcel/number"), (id == 2).then(|| json!("P-2")).as_ref());
    }
    assert!(!validator.is_valid(&json!({ "items": [] })), "the schema refuses something");
}

#[test]
fn a_published_schema_is_that_of_an_object() {
    let refused = Server::new("s", "1").router(Router::new().prefix("a_").tool(tool("list", list))).build();
    assert!(matches!(&refused, Err(StartError::Output(name)) if name == "a_list"), "{:?}", refused.err());
    let mut by_hand = rmcp_object(&json!({ "type": "object", "properties": { "n": { "type": "integer" } } }));
    let shown = tool("x", nothing).output(by_hand.clone());
    let service = Server::new("s", "1").tool(shown).build().unwrap();
    assert_eq!(service.catalog()[0].output_schema.as_deref(), Some(&by_hand));
    by_hand.remove("type");
    assert!(Server::new("s", "1").tool(tool("x", nothing).output(by_hand)).build().is_err());
}

fn rmcp_object(value: &Value) -> serde_json::Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[tokio::test]
async fn that_there_is_none_is_an_answer_and_having_nothing_to_say_is_silence() {
    let server = Server::new("s", "1").tool(tool("nothing", nothing)).tool(tool("none", none));
    let shop = TestClient::new(server).unwrap();
    assert_eq!(shop.call("none", json!({})).await.value(), Some(Value::Null));
    assert_eq!(shop.call("nothing", json!({})).await.value(), Some(json!("")));
}

#[tokio::test]
async fn who_must_wait_is_told_how_long() {
    let layers = Layers::new().rate(Rate::per_user(1, Millis::from_secs(60)));
    let shop = TestClient::new(Server::new("s", "1").layers(layers).tool(tool("x", nothing))).unwrap();
    let ann = shop.as_user("ann");
    assert_eq!(ann.call("x", json!({})).await.code(), "done");
    let Called::Failed { code, retry_after, .. } = ann.call("x", json!({})).await else {
        panic!("it was done")
    };
    assert_eq!(code, "rate_limited");
    let wait = retry_after.expect("a wait");
    assert!(wait > Millis(0) && wait <= Millis::from_secs(60), "{wait}");
}

#[tokio::test]
async fn a_test_shows_real_tokens_and_keys_and_the_server_checks_them() {
    let signer = Signer::new("https://idp.example", &Signer::new_key().unwrap(), Lifetime::Short).unwrap();
    let token = |scope: &str| {
        let claims = Claims {
            subject: UserId::from("ann"),
            audience: "shop".to_owned(),
            tenant: TenantId::from("default"),
            roles: Default::default(),
            scopes: [scope.to_owned()].into(),
            client: Some("app".to_owned()),
            actors: Vec::new(),
            lifetime: Millis::from_secs(600),
        };
        signer.sign(&claims, SystemClock.now()).unwrap()
    };
    let made = NewKey::generate().unwrap();
    let record = KeyRecord::of(&made.key, "acme", "robot").unwrap().client("night-shift").scopes(["read"]);
    let server = Server::new("s", "1")
        .trust(IssuerConfig::new("https://idp.example", "shop").jwks(signer.jwks().to_string()))
        .api_key(record)
        .tool(tool("whoami", whoami).guard(HasScope::new(["read"])));
    let shop = TestClient::new(server).unwrap();

    let ann = shop.clone().with_token(token("read").expose_secret());
    assert_eq!(ann.call("whoami", json!({})).await.value(), Some(json!("ann through Some(\"app\")")));
    let robot = shop.clone().with_key(made.key.expose_secret());
    assert_eq!(
        robot.call("whoami", json!({})).await.value(),
        Some(json!("robot through Some(\"night-shift\")"))
    );

    let weak = shop.clone().with_token(token("write").expose_secret()).scope("read");
    assert_eq!(weak.call("whoami", json!({})).await.code(), "scope_missing", "what the token says stands");
    for wrong in [shop.clone(), shop.clone().with_token("e30.e30.e30"), shop.clone().with_key("cardea_wrong")]
    {
        assert!(
            matches!(wrong.call("whoami", json!({})).await, Called::Refused { status, .. } if status == 401)
        );
    }
    assert!(matches!(shop.with_token("a\nb").call("whoami", json!({})).await, Called::Refused { .. }));
}
