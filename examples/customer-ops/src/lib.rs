//! The customer-operations server of the guide: thirty tools in five routers over a small shop's data.
//!
//! It is an example of `cardea-mcp`: one file for each router, plain async functions, and a guard on every tool. The
//! initial data is always the same, answers are computed from it, and writes change it. A refund is made exactly once
//! for each idempotency key of a user; `get_order` with `refund_key` returns whether it was made.

mod analytics;
mod behind;
mod customers;
mod desk;
mod operations;
mod orders;
mod seed;
mod store;
mod tickets;

use std::path::PathBuf;

use cardea_mcp::{
    Audit, Error, Layers, Millis, Server,
    audit::Record,
    auth::IssuerConfig,
    layer::{Concurrency, Rate, ResponseCache},
};

pub use self::{behind::Behind, store::Db};

/// Configuration of the server.
#[derive(Default)]
pub struct Config {
    /// Folder of `customer-ops.sqlite`. In memory if absent.
    pub folder: Option<PathBuf>,
    /// Issuers whose tokens are accepted. Without any, only a [`cardea_mcp::TestClient`] passes the guards.
    pub trust: Vec<IssuerConfig>,
    /// Address of the server as tokens name it (their audience), such as `http://127.0.0.1:7402/mcp`.
    pub resource: Option<String>,
    /// Audit file in which every call is recorded.
    pub audit: Option<Audit>,
    /// Delay between commit and answer of `process_refund`, to test crashes. None by default.
    pub refund_delay: Millis,
}

impl Config {
    /// Returns the configuration of a shop at `url` that keeps its data in `folder`. It accepts only tokens that Cardea,
    /// as `issuer`, signs with one of these keys.
    #[must_use]
    pub fn behind((issuer, jwks): (&str, String), url: &str, folder: PathBuf) -> Self {
        let issuer = IssuerConfig::new(issuer, url).jwks(jwks).tenant_claim("tenant");
        Self { folder: Some(folder), trust: vec![issuer], resource: Some(url.to_owned()), ..Self::default() }
    }
}

/// Returns the server with all its tools. Each tool has a guard.
///
/// # Errors
/// If the database cannot be opened.
pub fn server(config: Config) -> Result<Server, Error> {
    let file = config.folder.map(|folder| folder.join("customer-ops.sqlite"));
    let db = Db::open(file.as_deref())?;
    Ok(server_with(config.trust, config.resource, config.audit, (db, config.refund_delay)))
}

fn server_with(
    trust: Vec<IssuerConfig>,
    resource: Option<String>,
    audit: Option<Audit>,
    (db, refund_delay): (Db, Millis),
) -> Server {
    let mut layers = Layers::new()
        .log()
        .metrics()
        .rate(Rate::per_user(600, Millis::from_secs(60)))
        .concurrency(Concurrency::new(64, Millis::from_secs(1)))
        .cache(ResponseCache::new(4 << 20))
        .timeout(Millis::from_secs(60));
    if let Some(audit) = audit {
        layers = layers.audit(audit.record(Record::Arguments));
    }
    let mut server = Server::new("customer-ops", env!("CARGO_PKG_VERSION"))
        .instructions("Customers, orders, tickets and reports of a small shop. Amounts are euros.")
        .layers(layers)
        .require_guards()
        .state(db)
        .state(orders::RefundDelay(refund_delay))
        .router(customers::router())
        .router(orders::router())
        .router(tickets::router())
        .router(analytics::router())
        .router(operations::router());
    let issuers: Vec<String> = trust.iter().map(|issuer| issuer.issuer.clone()).collect();
    for issuer in trust {
        server = server.trust(issuer);
    }
    match resource {
        Some(resource) => server.resource(resource, issuers),
        None => server,
    }
}
