//! Building a server.
//!
//! A [`Server`] is a builder. [`Server::build`] finds everything that can be wrong without a request ([`StartError`])
//! and returns a [`Service`], which serves HTTP, standard input and output, or routes of an application of your own.

mod service;
mod start;

use std::{
    future::Future,
    io,
    net::ToSocketAddrs,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use cardea_auth::{Auth, AuthConfig, IssuerConfig, KeyRecord, StaticKeys};
use cardea_core::{
    principal::Principal,
    time::{Millis, SharedClock, SystemClock},
};
use cardea_net::{Net, NetConfig};
use rmcp::{ServerHandler, model::RequestStateCodec};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{service::Service, start::StartError};
use self::{service::interrupted, start::failed};
use crate::{
    Extras, Router, Tool,
    app::{App, Enrich},
    beside::Beside,
    guard::Guard,
    http::{Http, Resource},
    layer::{Layers, Metrics},
    session::{MemorySessions, SessionStore, Sessions},
};

const DAY: Millis = Millis::from_secs(24 * 60 * 60);

/// Builder of a server.
pub struct Server {
    name: String,
    version: String,
    instructions: Option<String>,
    router: Router,
    layers: Layers,
    state: Extras,
    auth: Option<Auth>,
    trusted: AuthConfig,
    keys: StaticKeys,
    net: NetConfig,
    anonymous: bool,
    guards_required: bool,
    enrich: Option<Enrich>,
    sessions: Sessions,
    resource: Option<(String, Vec<String>)>,
    hosts: Vec<String>,
    origins: Vec<String>,
    max_body: usize,
    read_within: Millis,
    max_connections: usize,
    legacy_sessions: bool,
    drain: Duration,
    clock: SharedClock,
    beside: Option<Beside>,
    state_key: [u8; 32],
}

impl Server {
    /// Creates a server with this name and version, as clients see them.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        let (left, right) = (cardea_core::id::random_bits(), cardea_core::id::random_bits());
        let mut state_key = [0; 32];
        for (to, from) in state_key.iter_mut().zip(left.to_be_bytes().into_iter().chain(right.to_be_bytes()))
        {
            *to = from;
        }
        Self {
            name: name.into(),
            version: version.into(),
            instructions: None,
            router: Router::new(),
            layers: Layers::new(),
            state: Extras::default(),
            auth: None,
            trusted: AuthConfig { api_keys: false, ..AuthConfig::default() },
            keys: StaticKeys::default(),
            net: NetConfig::default(),
            anonymous: false,
            guards_required: false,
            enrich: None,
            sessions: Sessions {
                store: Arc::new(MemorySessions::new(64 * 1024 * 1024)),
                ttl: Millis::from_secs(3_600),
            },
            resource: None,
            hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
            origins: Vec::new(),
            max_body: 1024 * 1024,
            // WHY: longer than Cardea keeps an idle connection, so that it never uses one that is being closed.
            read_within: Millis::from_secs(75),
            max_connections: 1024,
            legacy_sessions: false,
            drain: Duration::from_secs(20),
            clock: Arc::new(SystemClock),
            beside: None,
            state_key,
        }
    }

    /// Sets the instructions on using the server, for models.
    #[must_use]
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: Tool) -> Self {
        self.router = self.router.tool(tool);
        self
    }

    /// Adds the tools of a router.
    #[must_use]
    pub fn router(mut self, router: Router) -> Self {
        self.router = self.router.merge(router);
        self
    }

    /// Guards every tool, and what is offered beside the tools.
    #[must_use]
    pub fn guard(mut self, guard: impl Guard) -> Self {
        self.router = self.router.guard(guard);
        self
    }

    /// Refuses to start if a tool, or what is offered beside the tools, has no guard.
    #[must_use]
    pub fn require_guards(mut self) -> Self {
        self.guards_required = true;
        self
    }

    /// Sets the layers around every call.
    #[must_use]
    pub fn layers(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }

    /// Gives handlers a value of this type through [`crate::State`].
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state.insert(value);
        self
    }

    /// Accepts tokens of this issuer. From then on a request without a valid credential is refused.
    #[must_use]
    pub fn trust(mut self, issuer: IssuerConfig) -> Self {
        let name = format!("issuer{}", self.trusted.issuers.len() + 1);
        self.trusted = self.trusted.issuer(name, issuer);
        self
    }

    /// Accepts this API key. From then on a request without a valid credential is refused.
    #[must_use]
    pub fn api_key(mut self, key: KeyRecord) -> Self {
        self.trusted.api_keys = true;
        self.keys = self.keys.with(key);
        self
    }

    /// Configures how key sets are fetched: which private addresses may be reached, and so on.
    #[must_use]
    pub fn net(mut self, net: NetConfig) -> Self {
        self.net = net;
        self
    }

    /// Accepts the credentials that this room accepts, instead of [`Server::trust`] and [`Server::api_key`].
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Admits requests without a credential as anonymous; guards decide what an anonymous caller may do.
    #[must_use]
    pub fn allow_anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// Sets a hook that looks up more about a caller, once per request: plan, organisation, data of the author's
    /// database. Handlers get it through [`crate::Extra`]. An error refuses the request.
    #[must_use]
    pub fn on_authenticate<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Arc<Principal>, Arc<Extras>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = cardea_core::Result<Extras>> + Send + 'static,
    {
        self.enrich = Some(Arc::new(move |principal, state| Box::pin(hook(principal, state))));
        self
    }

    /// Sets where session state is kept, and for how long after its last change.
    #[must_use]
    pub fn sessions(mut self, store: impl SessionStore, ttl: Millis) -> Self {
        self.sessions = Sessions { store: Arc::new(store), ttl };
        self
    }

    /// Sets the address of the endpoint as tokens name it (their audience), and the issuers that sign them. Published
    /// as protected-resource metadata (RFC 9728) and in every challenge.
    #[must_use]
    pub fn resource<I: IntoIterator<Item = S>, S: Into<String>>(
        mut self,
        url: impl Into<String>,
        issuers: I,
    ) -> Self {
        self.resource = Some((url.into(), issuers.into_iter().map(Into::into).collect()));
        self
    }

    /// Sets the host names under which the server may be reached, with or without port. Loopback names by default.
    #[must_use]
    pub fn allowed_hosts<I: IntoIterator<Item = S>, S: Into<String>>(mut self, hosts: I) -> Self {
        self.hosts = hosts.into_iter().map(|host| host.into().to_ascii_lowercase()).collect();
        self
    }

    /// Sets the web origins that may call the server, as `scheme://host[:port]`. None by default.
    #[must_use]
    pub fn allowed_origins<I: IntoIterator<Item = S>, S: Into<String>>(mut self, origins: I) -> Self {
        self.origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the size limit of a request body. 1 MiB by default.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets how long a client may take to send the head of a request, and then its body; and how long a connection is
    /// kept that is idle, or whose client does not accept data: a short time cuts off large answers on slow lines. 75
    /// seconds by default; a proxy in front should close idle connections earlier. At most a day.
    #[must_use]
    pub fn read_within(mut self, time: Millis) -> Self {
        self.read_within = Millis(time.0.clamp(1, DAY.0));
        self
    }

    /// Sets the limit of open connections; further ones are closed at once. 1024 by default, and at least one.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Keeps protocol sessions for clients before 2026-07-28. Only needed to ask such clients questions in the middle
    /// of a call; without it every request stands alone on both wires.
    #[must_use]
    pub fn legacy_sessions(mut self) -> Self {
        self.legacy_sessions = true;
        self
    }

    /// Sets how long running calls may take to end when the server stops, including those whose client has
    /// disconnected.
    #[must_use]
    pub fn drain_within(mut self, time: Millis) -> Self {
        self.drain = time.duration();
        self
    }

    /// Sets the clock that dates the audit.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the key that signs questions to users. Several nodes behind one address must share it.
    #[must_use]
    pub fn question_key(mut self, key: [u8; 32]) -> Self {
        self.state_key = key;
        self
    }

    /// Adds an rmcp handler for prompts, resources, completions and subscriptions. Its tools are not used. The guards
    /// of the whole server ([`Server::guard`]) are asked with the method's name, such as `resources/read`, as the
    /// tool, and with its parameters as the arguments; rates, meters, log and audit count it as a call of that name.
    /// Events of a subscription that has begun are the handler's own.
    #[must_use]
    pub fn beside(mut self, handler: impl ServerHandler) -> Self {
        self.beside = Some(Beside::new(handler));
        self
    }

    /// Checks everything that can be known before the first request.
    ///
    /// # Errors
    /// [`StartError`] names the tool and what is wrong with it.
    pub fn build(mut self) -> Result<Service, StartError> {
        let auth = match self.auth.take() {
            Some(auth) => Some(auth),
            None if self.trusted.issuers.is_empty() && !self.trusted.api_keys => None,
            None => {
                let net =
                    Net::new(self.net, self.clock.clone()).map_err(|error| failed("reach issuers", error))?;
                let auth = Auth::new(self.trusted, net, self.clock.clone(), Arc::new(self.keys));
                Some(auth.map_err(|error| failed("take these credentials", error))?)
            }
        };
        let codec = RequestStateCodec::try_new(self.state_key.to_vec());
        let codec = codec.map_err(|error| failed("sign questions with this key", error))?;
        let own = std::mem::take(&mut self.layers.own).into();
        let app = App {
            name: self.name,
            version: self.version,
            instructions: self.instructions,
            guards: self.router.own_guards(),
            routes: self.router.routes()?,
            meters: self.layers.metrics.then(Metrics::new),
            layers: self.layers,
            own,
            state: Arc::new(self.state),
            sessions: self.sessions,
            enrich: self.enrich,
            codec: Arc::new(codec),
            clock: self.clock,
            beside: self.beside,
            stopping: AtomicBool::new(false),
            calls: TaskTracker::new(),
        };
        app.check(self.guards_required)?;
        let resource = self.resource.map(|(url, issuers)| Resource {
            metadata_url: metadata_url(&url),
            url: url.into(),
            issuers,
        });
        let http = Http {
            app: Arc::new(app),
            auth,
            anonymous: self.anonymous,
            hosts: self.hosts,
            origins: self.origins,
            resource,
            max_body: self.max_body,
            read_within: self.read_within,
            max_connections: self.max_connections,
            legacy_sessions: self.legacy_sessions,
            stop: CancellationToken::new(),
        };
        Ok(Service { http: Arc::new(http), drain: self.drain })
    }

    /// Builds and serves on this address until Ctrl-C or SIGTERM.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn serve(self, address: impl ToSocketAddrs) -> Result<(), StartError> {
        let service = self.build()?;
        let io = |source| StartError::Io { what: "listen".to_owned(), source };
        let address = address
            .to_socket_addrs()
            .map_err(io)?
            .next()
            .ok_or_else(|| io(io::ErrorKind::NotFound.into()))?;
        let listener = TcpListener::bind(address).await.map_err(io)?;
        service.serve(listener, interrupted()).await
    }
}

/// Returns the URL of RFC 9728 section 3.1: the well-known part goes between host and path.
fn metadata_url(resource: &str) -> String {
    let (scheme, rest) = resource.split_once("://").unwrap_or(("https", resource));
    let (host, path) =
        rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    format!("{scheme}://{host}/.well-known/oauth-protected-resource{}", path.trim_end_matches('/'))
}
