//! People who go on working while something is done to the server, and the checks of what came of it: what they were
//! told, what the services behind the tools did, and what the database and its audit chain hold.

pub(crate) mod check;
pub(crate) mod client;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cardea_testkit::{
    kill::Dice,
    model::{Act, FakeModel},
    world::{House, Inside, Keeper, Seat, Shape, Who},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use self::client::{Client, Door, Saw};

const STAFF: &[&str] = &["read", "write", "billing:read", "billing:write"];

pub(crate) const PEOPLE: &[Who] = &[
    Who { tenant: "acme", name: "ann", roles: &["support"], scopes: STAFF },
    Who { tenant: "acme", name: "cat", roles: &["support"], scopes: STAFF },
    Who { tenant: "other", name: "dan", roles: &["support"], scopes: STAFF },
    Who { tenant: "acme", name: "sue", roles: &["supervisor"], scopes: &["read"] },
    Who { tenant: "other", name: "sam", roles: &["supervisor"], scopes: &["read"] },
    Who { tenant: "acme", name: "eve", roles: &["admin", "support"], scopes: STAFF },
];

/// Who asks, and who approves for them.
const CLIENTS: [(&str, &str); 3] = [("ann", "sue"), ("cat", "sue"), ("dan", "sam")];

/// Budgets are set so that their counters are kept; they are far off.
const CONFIG: &str = r#"
[limits]
per_user = "60000/min"
per_tenant = "60000/min"

[limits.user_budget]
tokens = 1000000000

[limits.tenant_budget]
tokens = 1000000000

[log]
level = "info"
"#;

/// Reserves something, which can be taken back, and charges for it, which always fails.
const BUYER: &str = r#"
about = "Buys things."
model = "scripted"
guard = "standard"
instructions = "Reserve it, then charge for it."
tools = ["demo__*"]
"#;

const WAREHOUSE: &str = r#"
[connector]
name = "demo"
base = "BASE"

[[operation]]
name          = "reserve"
about         = "Reserve an item."
effect        = "write"
sends_outside = false
request       = { method = "POST", path = "/reservations", body = { item = "{item}" } }
input         = { item = "string" }
idempotency   = { header = "Idempotency-Key" }
undo          = { operation = "release", with = { reservation = "{result.id}" } }

[[operation]]
name        = "release"
about       = "Release a reservation."
effect      = "write"
request     = { method = "DELETE", path = "/reservations/{reservation}" }
input       = { reservation = "string" }
idempotency = { header = "Idempotency-Key" }

[[operation]]
name          = "charge"
about         = "Charge a card."
effect        = "write"
sends_outside = false
request       = { method = "POST", path = "/charges", body = { amount = "{amount}" } }
input         = { amount = "integer" }
idempotency   = { header = "Idempotency-Key" }
"#;

const BUYERS: &str = r#"
@id("support-buys") @reason("support works with the warehouse.")
permit (principal in Role::"support", action, resource in Server::"demo");
"#;

/// The scripted model: what it does next shows in what the tools have said since the last question.
fn buys(body: &Value) -> Act {
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let role = |message: &&Value, wanted: &str| message.get("role").and_then(Value::as_str) == Some(wanted);
    let answered = messages.iter().rev().take_while(|one| !role(one, "user")).filter(|one| role(one, "tool"));
    match answered.count() {
        0 => Act::call("demo__reserve", json!({ "item": "lamp" })),
        1 => Act::call("demo__charge", json!({ "amount": 9 })),
        _ => Act::say("I bought it."),
    }
}

/// A server over a fresh folder, its services, and the people around it.
pub(crate) struct Crowd {
    pub(crate) house: Arc<House>,
    pub(crate) warehouse: Keeper,
    /// Counts the starts of a server: people who wait for one hear of it.
    pub(crate) up: watch::Sender<u64>,
    /// Counts the requests of people that were answered.
    pub(crate) answered: watch::Sender<u64>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<Saw>,
    _model: FakeModel,
}

impl Crowd {
    /// Everything that is needed; nothing runs yet. `database` is the address of one on PostgreSQL.
    pub(crate) async fn gather(database: Option<String>) -> Self {
        Self::gather_with(database, str::to_owned).await
    }

    /// The same with another configuration.
    pub(crate) async fn gather_with(database: Option<String>, change: impl FnOnce(&str) -> String) -> Self {
        let warehouse = Keeper::start().await;
        let shape = Shape { status: 201, body: json!({ "id": "a1" }), name: "/id".to_owned() };
        warehouse.makes("/reservations", shape);
        warehouse.refuses("POST /charges", 402, json!({ "error": "card declined" }));
        let model = FakeModel::ruled(buys).await.expect("a port for the model");
        let models = format!(
            "[models.providers.rehearsal]\nkind = \"rehearsal\"\n[models.aliases.rehearsal]\nprovider = \"rehearsal\"\n\
             model = \"rehearsal\"\n[models.providers.fake]\nkind = \"openai\"\nbase_url = \"{}\"\n\
             [models.aliases.scripted]\nprovider = \"fake\"\nmodel = \"fake-1\"\n",
            model.base_url()
        );
        let inside = Inside {
            config: change(CONFIG) + &models,
            files: vec![
                ("agents/buyer.toml", BUYER.to_owned()),
                (
                    "connectors/demo.toml",
                    WAREHOUSE.replace("BASE", &format!("http://{}", warehouse.target())),
                ),
                ("policies/buyers.cedar", BUYERS.to_owned()),
            ],
            allow: vec![warehouse.target(), model.target()],
            database,
        };
        let house = House::build(Path::new(env!("CARGO_BIN_EXE_cardea")), inside, PEOPLE).await;
        let (up, answered) = (watch::Sender::new(0), watch::Sender::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (house, clients) = (Arc::new(house), JoinSet::new());
        Self { house, warehouse, up, answered, stop, clients, _model: model }
    }

    /// Lets the people begin, at these doors; they wait for the first start of a server.
    pub(crate) fn begin(&mut self, seed: u64, nodes: &[&Seat]) {
        for (at, (name, supervisor)) in CLIENTS.into_iter().enumerate() {
            let door = |node: &&Seat| Door {
                user: self.house.user_of(node, name),
                supervisor: self.house.user_of(node, supervisor),
            };
            let doors = nodes.iter().map(door).collect();
            let dice = Dice::seeded(seed + 1_000 * at as u64);
            let client = Client::new(name, doors, dice, self.up.subscribe(), self.answered.clone());
            self.clients.spawn(client.go_on(Arc::clone(&self.stop)));
        }
    }

    /// Lets everybody end what they are doing, and tells what they saw.
    pub(crate) async fn rest(&mut self) -> Saw {
        self.stop.store(true, Ordering::SeqCst);
        let clients = std::mem::take(&mut self.clients);
        clients.join_all().await.into_iter().fold(Saw::default(), Saw::and)
    }
}
