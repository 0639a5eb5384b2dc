//! The address of a Redis or Valkey server, and the protection of the connection to it.
//!
//! `rediss://` is encrypted, to a server whose certificate names the host and is signed by a trusted authority; the
//! check cannot be disabled. `sslrootcert` names a file with the certificates to trust instead of the system's, as in
//! the address of a database.

use std::fs;

use cardea_core::secret::{ExposeSecret, SecretString};
use redis::{Client, IntoConnectionInfo, TlsCertificates};

use crate::db::address::decoded;

/// Creates a client for `rediss://HOST:PORT?…`. Does not connect yet.
///
/// # Errors
/// What is wrong with the address or with the file of certificates.
pub(super) fn client(url: &str, password: Option<&SecretString>) -> Result<Client, String> {
    if url.contains('#') {
        return Err("contains `#`: whether a server is the right one is always checked".to_owned());
    }
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut roots, mut others) = (None, Vec::new());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslrootcert", file)) => {
                if roots.replace(certificates(&decoded(file)?)?).is_some() {
                    return Err(format!("has `{parameter}` a second time"));
                }
            }
            _ => others.push(parameter),
        }
    }
    let place = if others.is_empty() { place.to_owned() } else { format!("{place}?{}", others.join("&")) };
    let said = place.as_str().into_connection_info().map_err(|error| error.to_string())?;
    let mut settings = said.redis_settings().clone();
    if settings.password().is_some() {
        return Err(
            "contains a password: put it into `cache.password`, since the address is printed".to_owned()
        );
    }
    if let Some(password) = password {
        settings = settings.set_password(password.expose_secret());
    }
    let said = said.set_redis_settings(settings).set_tcp_settings(tcp());
    if !place.starts_with("rediss://") && !place.starts_with("valkeys://") {
        return match roots {
            Some(_) => Err("has `sslrootcert`, which only `rediss://` looks at".to_owned()),
            None => Client::open(said).map_err(|error| error.to_string()),
        };
    }
    // WHY: the client uses the cryptography of the process and has none of its own. An earlier choice stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let trusted = TlsCertificates { client_tls: None, root_cert: roots };
    Client::build_with_tls(said, trusted).map_err(|error| error.to_string())
}

/// Time without an acknowledgement after which the connection counts as dead.
#[cfg(target_os = "linux")]
const DEAD: std::time::Duration = std::time::Duration::from_secs(10);

#[cfg(target_os = "linux")]
fn tcp() -> redis::io::tcp::TcpSettings {
    redis::io::tcp::TcpSettings::default().set_user_timeout(DEAD)
}

#[cfg(not(target_os = "linux"))]
fn tcp() -> redis::io::tcp::TcpSettings {
    redis::io::tcp::TcpSettings::default()
}

fn certificates(file: &str) -> Result<Vec<u8>, String> {
    let bytes = fs::read(file).map_err(|error| format!("`sslrootcert` (`{file}`): {error}"))?;
    if bytes.windows(22).any(|line| line == b"BEGIN CERTIFICATE-----") {
        Ok(bytes)
    } else {
        Err(format!("`sslrootcert` (`{file}`): there is no certificate in it"))
    }
}
