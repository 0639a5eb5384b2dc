//! A checked server, and the ways to serve it.

use std::{future::Future, sync::Arc, time::Duration};

use cardea_core::principal::Principal;
use rmcp::ServiceExt;
use tokio::net::TcpListener;

use super::start::{StartError, failed};
use crate::{
    http::{self, Http},
    identity::{Identity, Who},
    layer::Metrics,
    rpc::Rpc,
};

/// A server that can be served.
#[derive(Clone)]
pub struct Service {
    pub(crate) http: Arc<Http>,
    pub(super) drain: Duration,
}

impl Service {
    /// Returns the HTTP routes, for an axum application of your own. They check Host, Origin and sign-in themselves.
    pub fn routes(&self) -> axum::Router {
        http::router(self.http.clone())
    }

    /// Serves HTTP until `stop` completes, and then lets running calls end.
    ///
    /// # Errors
    /// [`StartError::Open`] if the address is not loopback and no authentication is required.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StartError> {
        let address =
            listener.local_addr().map_err(|source| StartError::Io { what: "listen".to_owned(), source })?;
        if !address.ip().is_loopback() && self.http.auth.is_none() && !self.http.anonymous {
            return Err(StartError::Open(address));
        }
        http::serve(self.http, listener, stop, self.drain).await
    }

    /// Serves one client over standard input and output. The operator who starts the process vouches for `caller`.
    ///
    /// # Errors
    /// If the client does not speak MCP.
    pub async fn stdio(self, caller: Option<Principal>) -> Result<(), StartError> {
        let identity =
            Identity { who: caller.map(|caller| Who::Vouched(Arc::new(caller))), ..Identity::default() };
        let identity = match (&self.http.app.enrich, &identity.who) {
            (Some(enrich), Some(who)) => {
                let extras = enrich(Arc::new((**who).clone()), self.http.app.state.clone()).await;
                let extras = extras.map_err(|error| failed("sign in", error))?;
                Identity { extras, ..identity }
            }
            _ => identity,
        };
        let rpc = Rpc { app: self.http.app.clone(), vouched: Some(identity) };
        let running = rpc
            .serve(rmcp::transport::stdio())
            .await
            .map_err(|error| failed("speak MCP over stdio", error))?;
        running.waiting().await.map_err(|error| failed("speak MCP over stdio", error))?;
        self.drain().await;
        if let Some(audit) = &self.http.app.layers.audit {
            audit.file.close();
        }
        Ok(())
    }

    /// Refuses further calls and waits for running ones, including those whose client has disconnected, for as long as
    /// [`crate::Server::drain_within`] says. [`Service::serve`] and [`Service::stdio`] do so themselves; an
    /// application that serves [`Service::routes`] calls it when it stops, before [`Service::stop_audit`].
    pub async fn drain(&self) {
        self.http.app.stop();
        if tokio::time::timeout(self.drain, self.http.app.idle()).await.is_err() {
            tracing::warn!("calls are cut off that took longer than a stop may");
        }
    }

    /// Ends the audit, as at the end of the process: what waits is written, later entries are refused.
    pub fn stop_audit(&self) {
        if let Some(audit) = &self.http.app.layers.audit {
            audit.file.close();
        }
    }

    /// Returns every tool with the rules that guard it, for a reviewed file.
    #[must_use]
    pub fn rules(&self) -> Vec<(String, Vec<String>)> {
        self.http.app.routes.values().map(|route| (route.name.clone(), route.rules())).collect()
    }

    /// Returns every tool as a client with all rights would see it.
    #[must_use]
    pub fn catalog(&self) -> Vec<rmcp::model::Tool> {
        self.http.app.routes.values().map(|route| route.wire.clone()).collect()
    }

    /// Returns the meters in the format of Prometheus, if metrics are enabled.
    #[must_use]
    pub fn metrics(&self) -> Option<String> {
        self.http.app.metrics().map(Metrics::text)
    }
}

/// Completes when the operator asks the process to end.
pub(super) async fn interrupted() {
    let interrupt = async {
        // WHY: without a signal handler the process ends at once, which is what the operator asked for.
        let _ = tokio::signal::ctrl_c().await;
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            },
            Err(_) => interrupt.await,
        }
    }
    #[cfg(not(unix))]
    interrupt.await;
}
