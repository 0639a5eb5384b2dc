//! Network checks. Each service is asked for what it is there for, since any answer at all is not enough.

use std::time::Duration;

use cardea_auth::{IssuerConfig, LARGEST_KEY_SET};
use cardea_core::secret::ExposeSecret as _;
use cardea_model::{ProviderConfig, ProviderKind};
use cardea_net::{Egress, Net, NetError, Request};

use super::{Finding, Findings, State, client};
use crate::config::Loaded;

const PATIENCE: Duration = Duration::from_secs(3);

/// Checks everything that the configuration names.
pub(super) async fn all(loaded: &Loaded, net: &Net, found: &mut Findings) {
    let config = &loaded.config;
    for (name, provider) in &config.models.providers {
        model(net, name, provider, found).await;
    }
    for (name, upstream) in &config.upstreams {
        one_upstream(net, name, &upstream.url, found).await;
    }
    for connector in &loaded.connectors {
        for base in &connector.bases {
            // Only calls can tell which of its paths exist.
            let (what, url) = (format!("connector {}", connector.name), base.start());
            match status(net, &url).await {
                Ok(status @ (401 | 403)) => {
                    let says =
                        format!("answers with status {status}: it wants a secret, and none was sent to try");
                    found.add(what, State::Note, says).advise(
                        "see that each tenant has the secret of the manifest's `[auth]`: `cardea connector secret`",
                    );
                }
                Ok(status) => fine(found.add(what, State::Good, format!("answers with status {status}"))),
                Err(error) => away(&error, &url, what, found),
            }
        }
    }
    for (name, issuer) in &config.auth.issuers {
        if let Some(url) = &issuer.jwks_url {
            key_set(net, name, issuer, url, found).await;
        }
    }
}

/// Adds no advice.
fn fine(_: &mut Finding) {}

/// Checks a provider by asking, with its key, for the list of its models.
async fn model(net: &Net, name: &str, provider: &ProviderConfig, found: &mut Findings) {
    let what = format!("model provider {name}");
    if provider.kind == ProviderKind::Rehearsal {
        found.add(what, State::Good, "built in; it is no language model and says so");
        return;
    }
    let key = provider.api_key.as_ref().is_some_and(|key| !key.expose_secret().is_empty());
    if !key && provider.base_url.is_none() {
        found.add(what.clone(), State::Bad, "has no api_key").advise("api_key = { env = \"NAME\" }");
    }
    let Some((url, headers)) = provider.listing() else { return };
    let asked = match Request::get(&url, Egress::any()) {
        Ok(request) => net.stream(request.headers(headers).timeout(PATIENCE)).await,
        Err(error) => Err(error),
    };
    let status = match asked {
        Ok(answer) => answer.status.as_u16(),
        Err(error) => return away(&error, &url, what, found),
    };
    let says = format!("answers with status {status} when asked for its models");
    match status {
        200..=299 => fine(found.add(what, State::Good, "takes the key and lists its models")),
        401 | 403 => found.add(what, State::Bad, says).advise("correct its api_key: it is refused"),
        300..=399 | 404 | 410 => {
            let advice = "correct its base_url: up to and with the version, such as https://host/v1";
            found.add(what, State::Bad, says).advise(advice);
        }
        500.. => found.add(what, State::Bad, says).advise("see what is wrong there, or correct its base_url"),
        _ => fine(found.add(what, State::Note, says)),
    }
}

/// Returns the status of the answer at an address.
async fn status(net: &Net, url: &str) -> Result<u16, NetError> {
    let request = Request::get(url, Egress::any())?;
    Ok(net.stream(request.timeout(PATIENCE)).await?.status.as_u16())
}

/// Checks an MCP server without a credential. A server that turns this request away may turn calls away as well, which
/// cannot be known here. A bare GET is no MCP request, and servers differ in how they refuse one.
async fn one_upstream(net: &Net, name: &str, url: &str, found: &mut Findings) {
    let what = format!("upstream {name}");
    let status = match status(net, url).await {
        Ok(status) => status,
        Err(error) => return away(&error, url, what, found),
    };
    let says = format!("answers with status {status}");
    match status {
        200..=299 | 400 | 405 | 406 | 415 | 426 => fine(found.add(what, State::Good, says)),
        401 | 403 => {
            let advice = format!(
                "see that it takes what Cardea sends: `audience` or `credential` of [upstreams.{name}]; the log of a \
                 running server says whether its tools were listed"
            );
            let says = format!("{says}: it wants a credential, and none was sent to try");
            found.add(what, State::Note, says).advise(advice);
        }
        _ => {
            let advice = format!("correct `url` of [upstreams.{name}], or see what is wrong there");
            found.add(what, State::Bad, format!("{says}, which is no MCP server's")).advise(advice);
        }
    }
}

/// Checks the keys of an issuer, read as a server would read them.
async fn key_set(net: &Net, name: &str, issuer: &IssuerConfig, url: &str, found: &mut Findings) {
    let what = format!("key set of {name}");
    let asked = match Request::get(url, Egress::any()) {
        Ok(request) => net.send(request.timeout(PATIENCE).max_body(LARGEST_KEY_SET)).await,
        Err(error) => Err(error),
    };
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => return away(&error, url, what, found),
    };
    let advice = format!("correct `jwks_url` of [auth.issuers.{name}]: nobody can sign in with its tokens");
    if !answer.status.is_success() {
        let says = format!("answers with status {}", answer.status.as_u16());
        return found.add(what, State::Bad, says).advise(advice);
    }
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let read = IssuerConfig { jwks_url: None, jwks: Some(text), ..issuer.clone() };
    match read.check() {
        Ok(()) => fine(found.add(what, State::Good, "is there and holds keys")),
        Err((_, why)) => found.add(what, State::Bad, format!("cannot be used: {why}")).advise(advice),
    }
}

/// Records that the address does not answer or may not be reached.
fn away(error: &NetError, url: &str, what: String, found: &mut Findings) {
    let finding = found.add(what, State::Bad, error.to_string());
    if matches!(error, NetError::Refused(_)) {
        let target = client::host_and_port(url).unwrap_or_default();
        finding.advise(format!("if the address is meant: [net] allow = [\"{target}\"]"));
    } else {
        finding.advise("see whether it runs and the network lets you reach it, or correct its address");
    }
}
