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

/// Tokens with unknown key ids make us fetch this often at most, over time,
const EVERY: Millis = Millis::from_secs(10);

/// and this many times in a row: made-up key ids must not hold back the fetch for a good token.
const IN_A_ROW: u64 = 5;

/// How soon a key set is tried again that could not be fetched: at first, and at most.
const RETRY: (Millis, Millis) = (Millis::from_secs(1), Millis::from_secs(30));

/// When to come again if a fetch is still on its way.
const SOON: Millis = Millis::from_secs(1);

/// Keys that could not be confirmed for this long are not trusted any more.
const OLDEST: Millis = Millis::from_secs(24 * 3_600);

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest key set that is read, in bytes.
pub const LARGEST_KEY_SET: usize = 256 * 1024;

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
    /// Until when the fetches that tokens have caused are paid for, at one in `EVERY`.
    paid_until: Timestamp,
    /// How many fetches in a row have failed, and before when none is tried because a token asks.
    failed: u32,
    not_before: Timestamp,
    /// How many fetches brought keys.
    fetched: u64,
    running: Option<Fetch>,
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    /// The issuer will be asked.
    Begun,
    /// The issuer was asked; the keys may be from before anything that comes now.
    Sent,
}

/// A fetch to wait for.
struct Claim {
    fetch: Fetch,
    finished: watch::Receiver<u64>,
    /// How many had brought keys before.
    fetched: u64,
}

impl State {
    /// How long a token must wait before it may cause a fetch.
    fn wait(&self, now: Timestamp) -> Millis {
        let row = Millis(EVERY.0.saturating_mul(IN_A_ROW - 1));
        // WHY: bounded, so that a clock that was put back holds up nothing for longer.
        let paid = self.paid_until.since(now.plus(row)).min(EVERY);
        paid.max(self.not_before.since(now).min(RETRY.1))
    }

    fn brought(&mut self, keys: Option<KeySet>, now: Timestamp) {
        if let Some(keys) = keys {
            self.keys = Some((Arc::new(keys), now));
            (self.failed, self.not_before) = (0, Timestamp::default());
            self.fetched = self.fetched.wrapping_add(1);
        } else {
            self.not_before = now.plus(back_off(self.failed));
            self.failed = self.failed.saturating_add(1);
        }
    }
}

/// The pause after so many failures in a row and one more.
fn back_off(failed: u32) -> Millis {
    Millis(RETRY.0.0.saturating_mul(1 << failed.min(16))).min(RETRY.1)
}

impl Remote {
    pub(crate) fn new(url: String, net: Net, clock: SharedClock) -> Self {
        let (finished, _) = watch::channel(0);
        Self(Arc::new(Inner { url, net, clock, state: Mutex::default(), finished }))
    }

    /// The keys, if one of them may have signed a token with this header. An unknown key id causes a fetch, which
    /// all who need it share. It is unknown for good only if a fetch after it was met did not bring it: a token of a key
    /// that is new must not be called bad because the issuer could not be asked.
    pub(crate) async fn keys_for(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, Reason> {
        let fits = |keys: &Arc<KeySet>| !keys.candidates(kid, algorithm).is_empty();
        if let Some(keys) = self.current().filter(fits) {
            return Ok(keys);
        }
        match self.newer(fits).await {
            Ok(keys) if fits(&keys) => Ok(keys),
            Ok(_) => Err(Reason::UnknownKey),
            Err(reason) => self.current().filter(fits).ok_or(reason),
        }
    }

    /// The keys as they are now with the issuer, if it can be asked: those of a fetch that began after this call, or of one
    /// that was on its way, if they fit.
    pub(crate) async fn newer(&self, fits: impl Fn(&Arc<KeySet>) -> bool) -> Result<Arc<KeySet>, Reason> {
        let mut waited = self.refresh(Asked::ByToken).await;
        if let Waited::Over { earlier: true, .. } = waited {
            if let Some(keys) = self.current().filter(fits) {
                return Ok(keys);
            }
            // WHY: the issuer may have answered it before the key was published that this token is signed with.
            waited = self.refresh(Asked::ByToken).await;
        }
        let again = match (waited, self.current()) {
            (Waited::Over { brought: true, .. }, Some(keys)) => return Ok(keys),
            (Waited::Over { .. }, _) => self.state().not_before.since(self.0.clock.now()).max(SOON),
            (Waited::NotYet(wait), _) => wait.max(SOON),
        };
        Err(if self.is_ready() { Reason::OldKeys(again) } else { Reason::NoKeys(again) })
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
    pub(crate) async fn refresh(&self, asked: Asked) -> Waited {
        let Claim { fetch, mut finished, fetched } = match self.claim(asked) {
            Ok(claim) => claim,
            Err(wait) => return Waited::NotYet(wait),
        };
        match tokio::time::timeout(FETCH_TIMEOUT, finished.changed()).await {
            Ok(_) => Waited::Over { brought: self.state().fetched != fetched, earlier: fetch == Fetch::Sent },
            Err(_) => Waited::NotYet(SOON),
        }
    }

    /// How long to wait before the next scheduled fetch: less than usual after one that failed.
    pub(crate) fn pause(&self, usual: Millis) -> Millis {
        match self.state().failed {
            0 => usual,
            failed => back_off(failed.saturating_sub(1)).min(usual),
        }
    }

    /// Starts a fetch if none is on its way and one is due, and tells how far it is; else says when one may be.
    fn claim(&self, asked: Asked) -> Result<Claim, Millis> {
        let now = self.0.clock.now();
        let mut state = self.state();
        // INVARIANT: made while the state is held, as the end of a fetch is told, so it hears the end of this one only.
        let (finished, fetched) = (self.0.finished.subscribe(), state.fetched);
        if let Some(fetch) = state.running {
            return Ok(Claim { fetch, finished, fetched });
        }
        // WHY: only what tokens cause is counted; an issuer may change its keys right after a scheduled fetch.
        if asked == Asked::ByToken {
            let wait = state.wait(now);
            if wait > Millis(0) {
                return Err(wait);
            }
            let most = now.plus(Millis(EVERY.0.saturating_mul(IN_A_ROW)));
            state.paid_until = state.paid_until.max(now).plus(EVERY).min(most);
        }
        state.running = Some(Fetch::Begun);
        drop(state);
        self.start();
        Ok(Claim { fetch: Fetch::Begun, finished, fetched })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "must outlive a request that is cancelled; ends by its own deadline"
    )]
    fn start(&self) {
        let running = Running(self.clone());
        tokio::spawn(async move {
            let remote = &running.0;
            remote.state().running = Some(Fetch::Sent);
            let keys = remote.fetch().await;
            let now = remote.0.clock.now();
            remote.state().brought(keys, now);
        });
    }

    async fn fetch(&self) -> Option<KeySet> {
        let url = self.0.url.as_str();
        let request = Request::get(url, Egress::any()).map(|request| {
            request.timeout(FETCH_TIMEOUT).max_body(LARGEST_KEY_SET).redirects(Redirects::SameOrigin)
        });
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
        let mut state = self.0.state();
        state.running = None;
        self.0.0.finished.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// How waiting for a fetch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It is over, one way or the other.
    Over {
        /// It brought keys.
        brought: bool,
        /// The issuer had been asked before.
        earlier: bool,
    },
    /// There was none, or it is still on its way; worth another try after this.
    NotYet(Millis),
}

/// Who wants a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A token with an unknown key id: only so many at a time.
    ByToken,
    /// Start or interval.
    BySchedule,
}
