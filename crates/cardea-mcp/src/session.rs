//! What a server remembers for one caller between calls.
//!
//! A session belongs to issuer, tenant, user and client, never to the bytes of a token: a renewed token keeps it,
//! and nobody reaches another's by knowing a handle. Values are typed, bounded in size and expire.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use cardea_core::{Code, Error, Result, principal::Principal, time::Millis};
use futures::future::BoxFuture;
use moka::{ops::compute::Op, sync::Cache};
use serde::{Serialize, de::DeserializeOwned};

/// Largest value that a handler may keep under one name.
pub const MAX_VALUE: usize = 64 * 1024;

/// How often an update is tried while others change the same value.
const MOST_TRIES: usize = 64;

/// Where sessions are kept. The key is opaque and already names the caller.
pub trait SessionStore: Send + Sync + 'static {
    /// The value under this key, unless it has expired.
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>>;
    /// Keeps the value for `ttl` from now on, replacing an earlier one.
    fn save<'a>(&'a self, key: &'a str, value: Bytes, ttl: Millis) -> BoxFuture<'a, Result<()>>;
    /// Keeps the value if nobody has changed what stands under this key: it is still `before`, where nothing and an expired
    /// value are `None`. False if it is not, and then nothing is changed. This must be one step for all nodes.
    fn swap<'a>(
        &'a self,
        key: &'a str,
        before: Option<Bytes>,
        value: Bytes,
        ttl: Millis,
    ) -> BoxFuture<'a, Result<bool>>;
    /// Forgets the value. Forgetting what is not there is no error.
    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// Sessions in this process, up to a number of bytes; the least used go first.
pub struct MemorySessions {
    values: Cache<String, (Bytes, Instant)>,
}

impl MemorySessions {
    /// Room for this many bytes of keys and values.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let values = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &String, (value, _): &(Bytes, Instant)| {
                u32::try_from(key.len() + value.len() + 64).unwrap_or(u32::MAX)
            })
            .build();
        Self { values }
    }
}

impl SessionStore for MemorySessions {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        let kept = self.values.get(key).filter(|(_, until)| *until > Instant::now()).map(|(value, _)| value);
        Box::pin(std::future::ready(Ok(kept)))
    }

    fn save<'a>(&'a self, key: &'a str, value: Bytes, ttl: Millis) -> BoxFuture<'a, Result<()>> {
        self.values.insert(key.to_owned(), (value, Instant::now() + ttl.duration()));
        Box::pin(std::future::ready(Ok(())))
    }

    fn swap<'a>(
        &'a self,
        key: &'a str,
        before: Option<Bytes>,
        value: Bytes,
        ttl: Millis,
    ) -> BoxFuture<'a, Result<bool>> {
        let now = Instant::now();
        let mut swapped = false;
        self.values.entry_by_ref(key).and_compute_with(|kept| {
            let kept = kept.map(moka::Entry::into_value).filter(|(_, until)| *until > now);
            swapped = kept.map(|(value, _)| value) == before;
            if swapped { Op::Put((value, now + ttl.duration())) } else { Op::Nop }
        });
        Box::pin(std::future::ready(Ok(swapped)))
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        self.values.invalidate(key);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The sessions of one server.
#[derive(Clone)]
pub(crate) struct Sessions {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) ttl: Millis,
}

impl Sessions {
    pub(crate) fn of(&self, principal: &Principal, who: &str) -> Session {
        let client = principal.client.as_ref().map_or("", |client| client.as_str());
        let owner = format!("{who}{}:{client};", client.len());
        Session { store: self.store.clone(), ttl: self.ttl, owner }
    }
}

/// What one caller left, by name.
#[derive(Clone)]
pub struct Session {
    store: Arc<dyn SessionStore>,
    ttl: Millis,
    owner: String,
}

impl Session {
    /// The value under this name, if it is there and of this type.
    ///
    /// # Errors
    /// If the store fails, or something of another shape stands under the name.
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.store.load(&self.key(name)).await? else { return Ok(None) };
        read(&value).map(Some)
    }

    /// Keeps a value under this name, until the session's time has passed without a new one. Of two calls at one time the
    /// later wins: what depends on the value before is an [`update`](Self::update).
    ///
    /// # Errors
    /// [`Code::TooLarge`] over [`MAX_VALUE`] bytes; or if the store fails.
    pub async fn set<T: Serialize + Sync>(&self, name: &str, value: &T) -> Result<()> {
        self.store.save(&self.key(name), written(value)?, self.ttl).await
    }

    /// Makes a new value of the one under this name, and gives it. No change by a call at the same time is lost: `make` is
    /// asked again with what that one left.
    ///
    /// # Errors
    /// [`Code::TooLarge`] over [`MAX_VALUE`] bytes; [`Code::Overloaded`] if others were quicker each time; or if the store
    /// fails, or something of another shape stands under the name.
    pub async fn update<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        mut make: impl FnMut(Option<T>) -> T + Send,
    ) -> Result<T> {
        let key = self.key(name);
        for _ in 0..MOST_TRIES {
            let before = self.store.load(&key).await?;
            let made = make(before.as_deref().map(read).transpose()?);
            if self.store.swap(&key, before, written(&made)?, self.ttl).await? {
                return Ok(made);
            }
        }
        Err(Error::new(Code::Overloaded)
            .detail("Too many calls change this value of the session at one time."))
    }

    /// Forgets the value under this name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.store.remove(&self.key(name)).await
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.owner)
    }
}

fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T> {
    serde_json::from_slice(value).map_err(|why| Error::new(Code::Internal).because(why))
}

fn written<T: Serialize>(value: &T) -> Result<Bytes> {
    let value = serde_json::to_vec(value).map_err(|why| Error::new(Code::Internal).because(why))?;
    if value.len() > MAX_VALUE {
        return Err(
            Error::new(Code::TooLarge).detail(format!("A session keeps at most {MAX_VALUE} bytes per name."))
        );
    }
    Ok(value.into())
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session(…)")
    }
}
