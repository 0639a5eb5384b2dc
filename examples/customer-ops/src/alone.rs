//! The server without an external issuer: test tokens that it issues itself, and a caller named by the operator.

use std::net::SocketAddr;

use cardea_core::{
    id::{TenantId, UserId},
    principal::{Principal, Proof},
    secret::ExposeSecret as _,
    time::{Clock as _, SystemClock},
};
use cardea_mcp::{
    Millis,
    auth::{Claims, IssuerConfig, Lifetime, Signer},
};

/// Test users: name, roles, scopes.
const PEOPLE: [(&str, &[&str], &[&str]); 3] = [
    ("vera", &[], &["read"]),
    ("sam", &["support"], &["read", "write"]),
    ("root", &["admin", "support", "ops", "analyst"], &["read", "write", "billing:read", "billing:write"]),
];

/// Creates an issuer whose key exists only in this process, and logs a token for each test user to standard error.
pub(crate) fn issuer(
    issuer: IssuerConfig,
    listen: SocketAddr,
) -> Result<IssuerConfig, Box<dyn std::error::Error>> {
    if !listen.ip().is_loopback() {
        return Err(
            "name the issuer's key with --secret or --jwks-url (test tokens are available on loopback only)"
                .into(),
        );
    }
    let signer = Signer::new(&issuer.issuer, &Signer::new_key()?, Lifetime::TryOut)?;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (user, roles, scopes) in PEOPLE {
        let claims = Claims {
            subject: UserId::from(user),
            audience: issuer.audience.concat(),
            tenant: TenantId::from("default"),
            roles: names(roles),
            scopes: names(scopes),
            client: Some("try-out".to_owned()),
            actors: Vec::new(),
            lifetime: Millis::from_secs(24 * 3_600),
        };
        let token = signer.sign(&claims, SystemClock.now())?;
        tracing::info!(user, ?roles, ?scopes, token = token.expose_secret(), "test token, valid for a day");
    }
    Ok(issuer.jwks(signer.jwks().to_string()))
}

/// Returns the user that the operator named when starting the process.
pub(crate) fn operator(user: &str, roles: Vec<String>, scopes: Vec<String>) -> Principal {
    Principal {
        tenant: TenantId::from("default"),
        user: UserId::from(user),
        client: None,
        issuer: "operator".to_owned(),
        roles: roles.into_iter().collect(),
        scopes: scopes.into_iter().collect(),
        actors: Vec::new(),
        proof: Proof::Embedded,
        address: None,
        metadata: Default::default(),
    }
}
