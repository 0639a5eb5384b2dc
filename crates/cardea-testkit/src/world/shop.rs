//! The shop: the customer-operations server in this process, and a look into its ledger.

use std::path::{Path, PathBuf};

use cardea::{app::App, identity::ISSUER};
use cardea_core::time::Millis;
use cardea_mcp::auth::IssuerConfig;
use tokio::{net::TcpListener, task::JoinSet};

/// The shop behind the tools.
#[derive(Debug)]
pub struct Shop {
    file: PathBuf,
}

impl Shop {
    /// Opens it. It trusts tokens that Cardea makes for it, and nothing else.
    pub(super) fn open(socket: TcpListener, dir: &Path, app: &App, tasks: &mut JoinSet<()>) -> Self {
        let url = format!("http://{}/mcp", socket.local_addr().expect("the shop's address"));
        let folder = dir.join("shop");
        std::fs::create_dir_all(&folder).expect("a folder for the shop");
        let issuer = IssuerConfig::new(ISSUER, &url)
            .jwks(app.identity.upstream_jwks().to_string())
            .tenant_claim("tenant");
        let config = customer_ops::Config {
            folder: Some(folder.clone()),
            trust: vec![issuer],
            resource: Some(url),
            audit: None,
            refund_delay: Millis(0),
        };
        let server = customer_ops::server(config).expect("the shop");
        let service = server.build().expect("the shop");
        tasks.spawn(async move { drop(service.serve(socket, std::future::pending()).await) });
        Self { file: folder.join("customer-ops.sqlite") }
    }

    fn ledger(&self) -> customer_ops::Db {
        customer_ops::Db::open(Some(&self.file)).expect("the shop's ledger")
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
