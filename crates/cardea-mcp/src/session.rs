//! Sessions: what a server remembers for one caller between calls.
//!
//! A session belongs to issuer, tenant, user and client, never to the bytes of a token: a renewed token keeps it, and
//! knowing a handle gives no access to another caller's session. Values are typed, bounded in size and expire.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use cardea_core::{Code, Error, Result, principal::Principal, time::Millis};
use futures::future::BoxFuture;
use moka::{ops::compute::Op, sync::Cache};
use serde::{Serialize, de::DeserializeOwned};

/// Size limit of a value that a handler keeps under one name.
pub const MAX_VALUE: usize = 64 * 1024;

/// Number of tries of an update while others change the same value.
const MOST_TRIES: usize = 64;

/// A store of sessions. The key is opaque and already identifies the caller.
pub trait SessionStore: Send + Sync + 'static {
    /// Returns the value under this key, unless it has expired.
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>>;
    /// Stores the value for `ttl` from now on, replacing an earlier one.
    fn save<'a>(&'a self, key: &'a str, value: Bytes, ttl: Millis) -> BoxFuture<'a, Result<()>>;
    /// Stores the value if the present one is still `before`, where a missing and an expired value are `None`. Returns
    /// false if it is not, and then changes nothing. This must be atomic for all nodes.
    fn swap<'a>(
        &'a self,
        key: &'a str,
        before: Option<Bytes>,
        value: Bytes,
        ttl: Millis,
    ) -> BoxFuture<'a, Result<bool>>;
    /// Deletes the value. Deleting a missing value is not an error.
    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// Sessions in this process, up to a number of bytes; evicted by least use.
pub struct MemorySessions {
    values: Cache<String, (Bytes, Instant)>,
}

impl MemorySessions {
    /// Creates a store with a limit of bytes for keys and values.
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

/// The values of one caller, by name.
#[derive(Clone)]
pub struct Session {
    store: Arc<dyn SessionStore>,
    ttl: Millis,
    owner: String,
}

impl Session {
    /// Returns the value under this name, if it exists and has this type.
    ///
    /// # Errors
    /// If the store fails, or the value under the name has another form.
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.store.load(&self.key(name)).await? else { return Ok(None) };
        read(&value).map(Some)
    }

    /// Stores a value under this name, until the session has expired without a new one. Of two concurrent calls the
    /// later wins; for a value that depends on the preceding one use [`update`](Self::update).
    ///
    /// # Errors
    /// [`Code::TooLarge`] over [`MAX_VALUE`] bytes; or if the store fails.
    pub async fn set<T: Serialize + Sync>(&self, name: &str, value: &T) -> Result<()> {
        self.store.save(&self.key(name), written(value)?, self.ttl).await
    }

    /// Replaces the value under this name by one made from it, and returns that. No concurrent change is lost: `make`
    /// is called again with the value that the other call left.
    ///
    /// # Errors
    /// [`Code::TooLarge`] over [`MAX_VALUE`] bytes; [`Code::Overloaded`] if others were quicker each time; or if the
    /// store fails, or the value under the name has another form.
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

    /// Deletes the value under this name.
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
