//! Builds the caches from the configuration.

use std::sync::Arc;

use cardea_core::{Code, Error, Result, cost::millionths, time::SharedClock};
use cardea_model::embedder::Embedder;
use cardea_store::{
    Db, Engine,
    shared::cache::{CacheStore, MemoryCache, PostgresCache, RedisCache},
};

use crate::{
    config::{CacheBackend, Config},
    context::cache::{Cache, CheckSettings, Neighbours, Persisted, Seal, Settings, Warm, read_warm},
    observe::Observe,
    vault::Vault,
};

/// Name of the key under which entries are sealed.
const KEY: &str = "cache/entries";

/// The store of the entries, and their protection in it.
pub(super) struct Store {
    store: Arc<dyn CacheStore>,
    seal: Seal,
    persist: Option<Persisted>,
    /// The store, if it lies in this process.
    own: Option<Arc<MemoryCache>>,
    clock: SharedClock,
}

fn broken(key: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Code::Misconfigured).detail(format!("`{key}`: {why}."))
}

impl Store {
    pub(super) async fn of(config: &Config, clock: &SharedClock, vault: &Vault) -> Result<Self> {
        let cache = &config.cache;
        let (bytes, per_place) = (cache.memory.0, cache.entries_per_scope as usize);
        let store: Arc<dyn CacheStore> = match cache.backend {
            CacheBackend::Memory => {
                let most = usize::try_from(bytes).unwrap_or(usize::MAX);
                let store = Arc::new(MemoryCache::new(most, per_place, Arc::clone(clock)));
                let persist = match cache.persist && cache.enabled {
                    true => {
                        let seal = Seal::Sealed(Arc::new(vault.sealer(KEY).await?));
                        Some(Persisted { store: Arc::clone(&store), seal })
                    }
                    false => None,
                };
                let own = Some(Arc::clone(&store));
                return Ok(Self { store, seal: Seal::Own, persist, own, clock: Arc::clone(clock) });
            }
            CacheBackend::Redis => {
                let url = cache.url.as_deref().unwrap_or_default();
                let opened =
                    RedisCache::new(url, cache.password.as_ref(), &cache.name, per_place, Arc::clone(clock));
                let opened = opened.map_err(|why| broken("cache.url", why))?;
                Arc::new(opened.copying(bytes).patient(cache.timeout.duration()))
            }
            CacheBackend::Postgres => {
                let (url, password) = match &cache.url {
                    Some(url) => (url, cache.password.as_ref()),
                    None => (&config.db.url, cache.password.as_ref().or(config.db.password.as_ref())),
                };
                let opened = PostgresCache::new(url, password, bytes, per_place, Arc::clone(clock));
                Arc::new(opened.map_err(|why| broken("cache.url", why))?.patient(cache.timeout.duration()))
            }
        };
        let seal = Seal::Sealed(Arc::new(vault.sealer(KEY).await?));
        Ok(Self { store, seal, persist: None, own: None, clock: Arc::clone(clock) })
    }

    pub(super) fn cache(
        self,
        config: &Config,
        embedder: &Arc<dyn Embedder>,
        db: Db,
        observe: Observe,
    ) -> Cache {
        let Self { store, seal, persist, own, clock } = self;
        let check = config.cache.check;
        let settings = Settings {
            enabled: config.cache.enabled,
            ttl: config.cache.ttl,
            patience: config.cache.patience.duration(),
            check: CheckSettings {
                share: check.share,
                micros: millionths(check.money),
                errors: check.errors,
            },
        };
        let node = config.db.node.clone();
        // WHY: a SQLite database has one server, so no other node clears.
        let told = own.filter(|_| db.engine() == Engine::Postgres);
        let with = Neighbours { store, seal, persist, told, db, node, clock, observe };
        Cache::new(settings, Some(Arc::clone(embedder)), with)
    }
}

/// Reads the answers that are known at start.
pub(super) fn warm(config: &Config, embedder: &Arc<dyn Embedder>) -> Result<Arc<[Warm]>> {
    let Some(path) = config.cache.warm.as_deref().filter(|_| config.cache.enabled) else {
        return Ok(Arc::from([]));
    };
    let encoder = embedder.encoder().as_str();
    read_warm(path, Some(encoder)).map(Arc::from).map_err(|error| broken("cache.warm", error))
}
