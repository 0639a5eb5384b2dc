//! A second Cardea node on the database and the files of a world.

use std::{net::SocketAddr, sync::Arc};

use cardea::{
    api::{self, Bound},
    app::{App, Options},
    config::{Config, Environment},
};
use tokio::task::JoinSet;

use super::{User, World, wire::Wire};

/// A running node beside the world's own.
#[derive(Debug)]
pub struct Node {
    /// The application.
    pub app: App,
    wire: Wire,
    _tasks: JoinSet<()>,
}

impl World {
    /// Starts another node with this name.
    pub async fn node(&self, name: &str) -> Node {
        let bound = Bound::new(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port for the node");
        let address = bound.address.to_string();
        let more = [
            ("CARDEA_DB__URL", self.app.config.db.url.as_str()),
            ("CARDEA_DB__NODE", name),
            ("CARDEA_SERVER__BIND", &address),
        ];
        let variables =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(more);
        let loaded = Config::load(&self.folder().join("cardea.toml"), &Environment::from_iter(variables));
        let loaded = loaded.unwrap_or_else(|error| panic!("{}", error.pretty(false)));
        let options = Options {
            clock: Arc::<cardea_core::time::ManualClock>::clone(&self.clock),
            ..Options::default()
        };
        let app = App::build(loaded, options).await.unwrap_or_else(|error| panic!("{error:?}"));
        app.start().await.expect("the upkeep");
        let mut tasks = JoinSet::new();
        let serving = api::serve(app.clone(), bound);
        tasks.spawn(async move { drop(serving.await) });
        Node { app, wire: Wire::to(&format!("http://{address}")), _tasks: tasks }
    }
}

impl Node {
    /// Returns the holder of this credential, as a client of this node.
    #[must_use]
    pub fn holder(&self, token: &str) -> User {
        User::new(self.wire.clone(), Some(token), "support")
    }
}
