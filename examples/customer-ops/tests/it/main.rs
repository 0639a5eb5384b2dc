//! Stories about the example shop.
#![cfg(test)]

mod alone;
mod oidc;
mod peers;
mod rights;
mod stories;

use cardea_mcp::TestClient;
use customer_ops::Config;

/// Returns a new shop in memory.
fn shop() -> TestClient {
    TestClient::new(customer_ops::server(Config::default()).unwrap()).unwrap()
}

/// Users of the shop: name, roles, scopes.
const PEOPLE: [(&str, &[&str], &[&str]); 7] = [
    ("nobody", &[], &[]),
    ("viewer", &[], &["read"]),
    ("support", &["support"], &["read", "write"]),
    ("billing", &["billing"], &["read", "billing:read", "billing:write"]),
    ("analyst", &["analyst"], &["read"]),
    ("ops", &["admin", "ops"], &["read", "write"]),
    ("admin", &["admin", "support"], &["read", "write", "billing:read", "billing:write"]),
];

/// Returns a client that acts as one of the users.
fn as_one_of(shop: &TestClient, name: &str) -> TestClient {
    let (_, roles, scopes) = PEOPLE.iter().find(|person| person.0 == name).unwrap();
    let client = shop.clone().as_user(name);
    let client = roles.iter().fold(client, |client, role| client.role(role));
    scopes.iter().fold(client, |client, scope| client.scope(scope))
}
