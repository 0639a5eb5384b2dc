//! The shop: the customer-operations server in this process, and access to its ledger.

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

/// A refund in the shop's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// Its idempotency key.
    pub key: String,
    /// The order.
    pub order: i64,
    /// The amount.
    pub cents: i64,
    /// The time.
    pub at: Timestamp,
}

impl Shop {
    /// Opens it. It trusts only tokens that Cardea makes for it.
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

    /// Returns the tools that were called, in order, from the shop's own log.
    pub async fn calls(&self) -> Vec<String> {
        let text = tokio::fs::read_to_string(&self.log).await.unwrap_or_default();
        let tool = |line: &str| {
            let entry: Value = serde_json::from_str(line).ok()?;
            let entry = entry.get("entry").unwrap_or(&entry);
            (entry.get("phase")? == "outcome").then_some(entry.get("tool")?.as_str()?.to_owned())
        };
        text.lines().filter_map(tool).collect()
    }

    /// Returns all refunds in the ledger.
    pub async fn paid(&self) -> Vec<Paid> {
        let paid = self.ledger().paid().await.expect("the shop's ledger");
        paid.into_iter()
            .map(|(key, order, cents, at)| Paid { key, order, cents, at: Timestamp(at) })
            .collect()
    }

    /// Counts the comments with this exact text.
    pub async fn said(&self, text: &str) -> i64 {
        self.ledger().comments_saying(text).await.expect("the shop's comments")
    }

    fn ledger(&self) -> customer_ops::Db {
        self.at.ledger().expect("the shop's ledger")
    }

    /// Counts the refunds in the ledger for one order.
    pub async fn refunds(&self, order: i64) -> i64 {
        self.ledger().refunds_of(order).await.expect("the shop's refunds")
    }

    /// Counts the comments of a ticket.
    pub async fn comments(&self, ticket: i64) -> i64 {
        self.ledger().comments_on(ticket).await.expect("the shop's comments")
    }

    /// Adds a customer's comment to a ticket.
    pub async fn customer_writes(&self, ticket: i64, text: &str) {
        self.ledger().customer_writes(ticket, text).await.expect("the customer's comment");
    }
}

/// Serves tools that trust tokens signed by Cardea.
pub(super) fn serve(server: cardea_mcp::Server, socket: TcpListener, app: &App, tasks: &mut JoinSet<()>) {
    let url = format!("http://{}/mcp", socket.local_addr().expect("an address"));
    let issuer = IssuerConfig::new(ISSUER, &url).jwks(app.identity.upstream_jwks().to_string());
    let server = server.trust(issuer.tenant_claim("tenant")).resource(url, [ISSUER]);
    let service = server.build().expect("the test's own tools");
    tasks.spawn(async move { drop(service.serve(socket, std::future::pending()).await) });
}
