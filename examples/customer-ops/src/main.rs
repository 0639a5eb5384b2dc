//! `cargo run -p customer-ops`: runs the server on a loopback port, or over standard input and output.

mod alone;

use std::{net::SocketAddr, path::PathBuf};

use cardea_mcp::{Audit, Millis, NetConfig, SecretString, auth::IssuerConfig};
use clap::Parser;
use customer_ops::Config;

/// The customer-operations MCP server of the guide.
///
/// Without `--secret` and `--jwks-url` it runs in test mode: it signs its own tokens and prints them to standard
/// error.
#[derive(Parser)]
struct Options {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:7402", env = "CUSTOMER_OPS_LISTEN")]
    listen: SocketAddr,
    /// Folder of the database and the audit file. In memory, without audit, if absent.
    #[arg(long, env = "CUSTOMER_OPS_FOLDER")]
    folder: Option<PathBuf>,
    /// Issuer of the tokens.
    #[arg(long, default_value = "customer-ops", env = "CUSTOMER_OPS_ISSUER")]
    issuer: String,
    /// Audience of the tokens. `http://LISTEN/mcp` if absent.
    #[arg(long, env = "CUSTOMER_OPS_RESOURCE")]
    resource: Option<String>,
    /// Secret of at least 32 bytes that signs the tokens (HS256).
    #[arg(long, env = "CUSTOMER_OPS_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// URL of the issuer's key set, instead of a secret.
    #[arg(long, env = "CUSTOMER_OPS_JWKS_URL", conflicts_with = "secret")]
    jwks_url: Option<String>,
    /// Secret of at least 32 bytes that chains the audit file; requires a folder.
    #[arg(long, env = "CUSTOMER_OPS_AUDIT_SECRET", hide_env_values = true, requires = "folder")]
    audit_secret: Option<String>,
    /// Private `host:port` from which the key set may be fetched.
    #[arg(long)]
    allow: Vec<String>,
    /// Milliseconds between the commit of a refund and its answer, to test crashes.
    #[arg(long, default_value_t = 0, env = "CUSTOMER_OPS_REFUND_DELAY")]
    refund_delay: u64,
    /// Serves one client over standard input and output, as this user of tenant `default`.
    #[arg(long, value_name = "USER")]
    stdio_as: Option<String>,
    /// Roles of the user of `--stdio-as`.
    #[arg(long, requires = "stdio_as")]
    role: Vec<String>,
    /// Scopes of the user of `--stdio-as`.
    #[arg(long, requires = "stdio_as")]
    scope: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).init();
    let resource = options.resource.unwrap_or_else(|| format!("http://{}/mcp", options.listen));
    let issuer = IssuerConfig::new(&options.issuer, &resource).tenant_claim("tenant");
    let trust = match (options.secret, options.jwks_url) {
        (Some(secret), _) => vec![issuer.secret(SecretString::from(secret))],
        (None, Some(url)) => vec![issuer.jwks_url(url)],
        (None, None) if options.stdio_as.is_some() => Vec::new(),
        (None, None) => vec![alone::issuer(issuer, options.listen)?],
    };
    let audit = match (&options.folder, options.audit_secret) {
        (Some(folder), Some(secret)) => {
            Some(Audit::open(folder.join("audit.jsonl"), &SecretString::from(secret))?)
        }
        _ => None,
    };
    let mut net = NetConfig::default();
    for target in options.allow {
        net.allow.add(&target)?;
    }
    let config = Config {
        folder: options.folder,
        trust: trust
            .into_iter()
            .map(|issuer| IssuerConfig { tenant: Some("default".to_owned()), ..issuer })
            .collect(),
        resource: Some(resource),
        audit,
        refund_delay: Millis(options.refund_delay),
    };
    let server = customer_ops::server(config)?.net(net);
    if let Some(user) = options.stdio_as {
        let caller = alone::operator(&user, options.role, options.scope);
        return Ok(server.build()?.stdio(Some(caller)).await?);
    }
    tracing::info!(listen = %options.listen, "customer-ops serves MCP at /mcp");
    Ok(server.serve(options.listen).await?)
}
