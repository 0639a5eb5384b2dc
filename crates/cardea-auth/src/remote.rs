//! The key set of an issuer behind an address: fetched in the background, kept when a fetch fails.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cardea_core::time::{Millis, SharedClock, Timestamp};
use cardea_net::{Egress, Net, Redirects, Request};
use jsonwebtoken::Algorithm;
use tokio::sync::watch;

use crate::{keyset::KeySet, reason::Reason};

/// Tokens with unknown key ids make us fetch at most this often.
const COOL_DOWN: Millis = Millis::from_secs(30);

/// Keys that could not be confirmed for this long are not trusted any more.
const OLDEST: Millis = Millis::from_secs(24 * 3_600);

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST: usize = 256 * 1024;

/// A fetched key set. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Remote(Arc<Inner>);

struct Inner {
    url: String,
    net: Net,
    clock: SharedClock,
    state: Mutex<State>,
    /// Counts finished fetches; those who wait for one watch it.
    finished: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Timestamp)>,
    /// When a token last caused a fetch.
    asked_at: Option<Timestamp>,
    running: bool,
}

impl Remote {
    pub(crate) fn new(url: String, net: Net, clock: SharedClock) -> Self {
        let (finished, _) = watch::channel(0);
        Self(Arc::new(Inner { url, net, clock, state: Mutex::default(), finished }))
    }

    /// The keys, if one of them may have signed a token with this header. An unknown key id causes one fetch, which
    /// all who need it share, and then none for a while.
    pub(crate) async fn keys_for(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, Reason> {
        let fits = |keys: &Arc<KeySet>| !keys.candidates(kid, algorithm).is_empty();
        if let Some(keys) = self.current().filter(fits) {
            return Ok(keys);
        }
        self.refresh(Asked::ByToken).await;
        match self.current() {
            Some(keys) if fits(&keys) => Ok(keys),
            Some(_) => Err(Reason::UnknownKey),
            None => Err(Reason::NoKeys),
        }
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        let now = self.0.clock.now();
        self.state()
            .keys
            .as_ref()
            .filter(|(_, at)| now.since(*at) <= OLDEST)
            .map(|(keys, _)| Arc::clone(keys))
    }

    /// Fetches, unless somebody does so already (then waits for that), and returns when it is over.
    pub(crate) async fn refresh(&self, asked: Asked) {
        let mut finished = self.0.finished.subscribe();
        if !self.claim(asked) {
            return;
        }
        // INVARIANT: the receiver was made before the fetch could end, so its end cannot be missed.
        let _ = tokio::time::timeout(FETCH_TIMEOUT, finished.changed()).await;
    }

    /// Starts a fetch if one is due. False if there is nothing to wait for.
    fn claim(&self, asked: Asked) -> bool {
        let now = self.0.clock.now();
        let mut state = self.state();
        if state.running {
            return true;
        }
        // WHY: only what tokens cause is counted; an issuer may change its keys right after a scheduled fetch.
        if asked == Asked::ByToken {
            if state.asked_at.is_some_and(|at| now.since(at) < COOL_DOWN) {
                return false;
            }
            state.asked_at = Some(now);
        }
        state.running = true;
        drop(state);
        self.start();
        true
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "must outlive a request that is cancelled; ends by its own deadline"
    )]
    fn start(&self) {
        let running = Running(self.clone());
        tokio::spawn(async move {
            let remote = &running.0;
            if let Some(keys) = remote.fetch().await {
                let at = remote.0.clock.now();
                remote.state().keys = Some((Arc::new(keys), at));
            }
        });
    }

    async fn fetch(&self) -> Option<KeySet> {
        let url = self.0.url.as_str();
        let request = Request::get(url, Egress::any())
            .map(|request| request.timeout(FETCH_TIMEOUT).max_body(LARGEST).redirects(Redirects::SameOrigin));
        let answer = match request {
            Ok(request) => self.0.net.send(request).await.and_then(cardea_net::Response::success),
            Err(error) => Err(error),
        };
        let keys = match &answer {
            Ok(answer) => KeySet::jwks(&answer.body),
            Err(_) => None,
        };
        if keys.is_none() {
            let cause =
                answer.err().map_or_else(|| "not a usable key set".to_owned(), |error| error.to_string());
            tracing::warn!(url, cause, "the key set of an issuer cannot be fetched; the old keys stay");
        }
        keys
    }

    /// True once keys are there and not too old.
    pub(crate) fn is_ready(&self) -> bool {
        self.current().is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch on its way. However it ends, by a panic too, the next one may start and those who wait go on.
struct Running(Remote);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state().running = false;
        self.0.0.finished.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Who wants a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A token with an unknown key id: subject to the cool-down.
    ByToken,
    /// Start or interval.
    BySchedule,
}
