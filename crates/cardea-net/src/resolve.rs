//! Name resolution that returns only addresses that may be reached.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::{
    address::{AllowList, special},
    error::{Cause, Refusal},
};

/// Whether names of the allow list may resolve to private addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The request goes to a listed `host:port`.
    Listed,
    /// Any other request: only listed ranges are an exception.
    Open,
}

/// Resolves names and returns the addresses that may be reached.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) allow: Arc<AllowList>,
    pub(crate) trust: Trust,
}

impl Service<Name> for Guarded {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (allow, trust) = (Arc::clone(&self.allow), self.trust);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            check(&allow, trust, name.as_str(), &found)?;
            Ok(found.into_iter())
        })
    }
}

/// Refuses the whole name if one of its addresses may not be reached: an answer with both kinds is an attack.
fn check(allow: &AllowList, trust: Trust, name: &str, found: &[SocketAddr]) -> Result<(), Refusal> {
    if trust == Trust::Listed && allow.knows(name) {
        return Ok(());
    }
    for address in found {
        if let Some(kind) = special(address.ip())
            && !allow.holds(address.ip())
        {
            return Err(Refusal::Resolved { name: name.to_owned(), kind });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_inner_address_among_public_ones_refuses_the_name() {
        let found: Vec<SocketAddr> = ["1.1.1.1:0", "169.254.169.254:0"].map(|a| a.parse().unwrap()).to_vec();
        let mut allow = AllowList::default();
        assert!(matches!(
            check(&allow, Trust::Open, "mixed.example", &found),
            Err(Refusal::Resolved { kind: "link-local", .. })
        ));
        allow.add("mixed.example:80").unwrap();
        assert!(check(&allow, Trust::Open, "mixed.example", &found).is_err(), "another port is not listed");
        assert_eq!(check(&allow, Trust::Listed, "mixed.example", &found), Ok(()));
    }
}
