//! Connections: TCP to a checked address, with TLS if the URL requires it, all within one time limit.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tower::Service;

use crate::{
    error::{Cause, NetError},
    resolve::Guarded,
};

/// How often an idle connection is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Error for a connection that took too long.
#[derive(Debug, thiserror::Error)]
#[error("connecting took longer than {0:?}")]
pub(crate) struct TooSlow(Duration);

/// TLS trust roots: the certificate authorities of the operating system, and those of the configuration.
pub(crate) struct Roots {
    extra: Vec<CertificateDer<'static>>,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Roots {
    /// Reads the files of the configuration.
    ///
    /// # Errors
    /// [`NetError::Setup`] names the file that cannot be used.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, NetError> {
        let mut extra = Vec::new();
        for path in files {
            let wrong = |why: &dyn std::fmt::Display| NetError::Setup(format!("`{}`: {why}", path.display()));
            let before = extra.len();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                extra.push(certificate.map_err(|error| wrong(&error))?);
            }
            if extra.len() == before {
                return Err(wrong(&"there is no certificate in it"));
            }
        }
        // An invalid certificate must be reported at start, and not with the first request.
        let mut store = RootCertStore::empty();
        for certificate in &extra {
            store.add(certificate.clone()).map_err(|error| NetError::Setup(error.to_string()))?;
        }
        Ok(Self { extra, tls: OnceLock::new() })
    }

    /// Returns the TLS settings. The system's authorities are read when first needed.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, NetError> {
        if let Some(tls) = self.tls.get() {
            return Ok(Arc::clone(tls));
        }
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        // WHY: a bare machine may have no certificate authorities at all. It can still serve what needs no TLS; a
        // request that needs it then fails with an unknown issuer.
        if found.certs.is_empty() {
            let cause = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
            tracing::warn!(cause, "the trust roots of the operating system cannot be used");
        }
        store.add_parsable_certificates(found.certs.into_iter().chain(self.extra.iter().cloned()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| NetError::Setup(error.to_string()))?
            .with_root_certificates(store)
            .with_no_client_auth();
        // If two threads read at once, one result is kept and both use it.
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(config))))
    }
}

/// Opens connections.
#[derive(Clone)]
pub(crate) struct Connector {
    https: HttpsConnector<HttpConnector<Guarded>>,
    limit: Duration,
}

impl Connector {
    /// Creates a connector with this limit for name resolution, TCP and TLS together.
    pub(crate) fn new(guard: Guarded, tls: Arc<ClientConfig>, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(guard);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        // No proxy from the environment: it would connect on our behalf, past the guard.
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&tls))
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        Self { https, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<HttpConnector<Guarded>> as Service<Uri>>::Response;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, limit) = (self.https.call(to), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(TooSlow(limit).into()),
            }
        })
    }
}
