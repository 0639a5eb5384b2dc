//! The customer-operations server of the guide: thirty tools in five routers over a small shop's data.
//!
//! Read it as an example of `cardea-mcp`: one file a router, plain async functions, a guard on every tool. The data
//! is seeded the same way every time, answers are computed from it, and writes change it. A refund is done exactly
//! once for each idempotency key of a user; `get_order` with `refund_key` tells whether one was done.

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

/// How the server is set up.
#[derive(Default)]
pub struct Config {
    /// Where `customer-ops.sqlite` stands. In memory if absent.
    pub folder: Option<PathBuf>,
    /// Whose tokens are taken. Without any, only a [`cardea_mcp::TestClient`] gets past the guards.
    pub trust: Vec<IssuerConfig>,
    /// The server's address as tokens name it (their audience), such as `http://127.0.0.1:7402/mcp`.
    pub resource: Option<String>,
    /// Writes every call to a file.
    pub audit: Option<Audit>,
    /// How long `process_refund` waits between its commit and its answer, to try out crashes. Nothing by default.
    pub refund_delay: Millis,
}

impl Config {
    /// A shop at `url` that keeps its data in `folder` and takes nobody's tokens but those that Cardea, as `issuer`,
    /// signs with one of these keys.
    #[must_use]
    pub fn behind((issuer, jwks): (&str, String), url: &str, folder: PathBuf) -> Self {
        let issuer = IssuerConfig::new(issuer, url).jwks(jwks).tenant_claim("tenant");
        Self { folder: Some(folder), trust: vec![issuer], resource: Some(url.to_owned()), ..Self::default() }
    }
}

/// The server with all its tools; every one of them has a guard.
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
