//! The shop: the customer-operations server in this process, and a look into its ledger.

use std::path::{Path, PathBuf};

use cardea::{app::App, identity::ISSUER};
use cardea_core::{secret::SecretString, time::Timestamp};
use cardea_mcp::{Audit, auth::IssuerConfig};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

/// The shop behind the tools.
#[derive(Debug)]
pub struct Shop {
    at: customer_ops::Behind,
    log: PathBuf,
}

/// One refund in the shop's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The idempotency key that it came with.
    pub key: String,
    /// For which order.
    pub order: i64,
    /// How much.
    pub cents: i64,
    /// When.
    pub at: Timestamp,
}

impl Shop {
    /// Opens it. It trusts tokens that Cardea makes for it, and nothing else.
    pub(super) fn open(socket: TcpListener, dir: &Path, app: &App, tasks: &mut JoinSet<()>) -> Self {
        let cardea = (ISSUER, app.identity.upstream_jwks().to_string());
        let address = socket.local_addr().expect("the shop's address");
        let behind = customer_ops::Behind::cardea(address, dir, cardea);
        let (at, mut config) = behind.expect("a folder for the shop");
        let log = at.folder.join("calls.log");
        let key = SecretString::from("what a test needs to know is no secret");
        config.audit = Some(Audit::open(log.clone(), &key).expect("the shop's own log"));
        let server = customer_ops::server(config).expect("the shop");
        let service = server.build().expect("the shop");
        tasks.spawn(async move { drop(service.serve(socket, std::future::pending()).await) });
        Self { at, log }
    }

    /// The tools that were called, in their order, as the shop's own log has them.
    pub async fn calls(&self) -> Vec<String> {
        let text = tokio::fs::read_to_string(&self.log).await.unwrap_or_default();
        let tool = |line: &str| {
            let entry: Value = serde_json::from_str(line).ok()?;
            let entry = entry.get("entry").unwrap_or(&entry);
            (entry.get("phase")? == "outcome").then_some(entry.get("tool")?.as_str()?.to_owned())
        };
        text.lines().filter_map(tool).collect()
    }

    /// Everything that it has paid back, as its ledger says.
    pub async fn paid(&self) -> Vec<Paid> {
        let paid = self.ledger().paid().await.expect("the shop's ledger");
        paid.into_iter()
            .map(|(key, order, cents, at)| Paid { key, order, cents, at: Timestamp(at) })
            .collect()
    }

    /// How many comments have this very text.
    pub async fn said(&self, text: &str) -> i64 {
        self.ledger().comments_saying(text).await.expect("the shop's comments")
    }

    fn ledger(&self) -> customer_ops::Db {
        self.at.ledger().expect("the shop's ledger")
    }

    /// How many refunds its ledger holds for one order.
    pub async fn refunds(&self, order: i64) -> i64 {
        self.ledger().refunds_of(order).await.expect("the shop's refunds")
    }

    /// How many comments a ticket has.
    pub async fn comments(&self, ticket: i64) -> i64 {
        self.ledger().comments_on(ticket).await.expect("the shop's comments")
    }

    /// A customer writes something into a ticket.
    pub async fn customer_writes(&self, ticket: i64, text: &str) {
        self.ledger().customer_writes(ticket, text).await.expect("the customer's comment");
    }
}

/// Serves tools that trust what Cardea signs for them.
pub(super) fn serve(server: cardea_mcp::Server, socket: TcpListener, app: &App, tasks: &mut JoinSet<()>) {
    let url = format!("http://{}/mcp", socket.local_addr().expect("an address"));
    let issuer = IssuerConfig::new(ISSUER, &url).jwks(app.identity.upstream_jwks().to_string());
    let server = server.trust(issuer.tenant_claim("tenant")).resource(url, [ISSUER]);
    let service = server.build().expect("the test's own tools");
    tasks.spawn(async move { drop(service.serve(socket, std::future::pending()).await) });
}
