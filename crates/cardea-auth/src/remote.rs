//! The key set of an issuer behind a URL: fetched in the background, kept when a fetch fails.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cardea_core::time::{Millis, SharedClock, Timestamp};
use cardea_net::{Egress, Net, Redirects, Request};
use jsonwebtoken::Algorithm;
use tokio::sync::watch;

use crate::{keyset::KeySet, reason::Reason};

/// Average interval of fetches that are caused by tokens with unknown key ids.
const EVERY: Millis = Millis::from_secs(10);

/// Number of such fetches in a row: made-up key ids must not delay the fetch for a valid token.
const IN_A_ROW: u64 = 5;

/// Pause before a failed fetch is tried again: at first, and at most.
const RETRY: (Millis, Millis) = (Millis::from_secs(1), Millis::from_secs(30));

/// Retry delay while a fetch is in progress.
const SOON: Millis = Millis::from_secs(1);

/// Age of unconfirmed keys after which they are not trusted any more.
const OLDEST: Millis = Millis::from_secs(24 * 3_600);

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Size limit of a key set in bytes.
pub const LARGEST_KEY_SET: usize = 256 * 1024;

/// A fetched key set. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Remote(Arc<Inner>);

struct Inner {
    url: String,
    net: Net,
    clock: SharedClock,
    state: Mutex<State>,
    /// Count of finished fetches, watched by those who wait for one.
    finished: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Timestamp)>,
    /// Time until which fetches caused by tokens are accounted for, at one per `EVERY`.
    paid_until: Timestamp,
    /// Number of failed fetches in a row, and the time before which tokens cause no further one.
    failed: u32,
    not_before: Timestamp,
    /// Number of successful fetches.
    fetched: u64,
    running: Option<Fetch>,
}

/// Progress of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    /// The issuer has not been asked yet.
    Begun,
    /// The issuer was asked; its keys may be older than anything that comes now.
    Sent,
}

/// A fetch to wait for.
struct Claim {
    fetch: Fetch,
    finished: watch::Receiver<u64>,
    /// Number of successful fetches before it.
    fetched: u64,
}

impl State {
    /// Returns how long a token must wait before it may cause a fetch.
    fn wait(&self, now: Timestamp) -> Millis {
        let row = Millis(EVERY.0.saturating_mul(IN_A_ROW - 1));
        // WHY: bounded, so that a clock that was set back delays nothing for longer.
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

/// Returns the pause after this many failures in a row and one more.
fn back_off(failed: u32) -> Millis {
    Millis(RETRY.0.0.saturating_mul(1 << failed.min(16))).min(RETRY.1)
}

impl Remote {
    pub(crate) fn new(url: String, net: Net, clock: SharedClock) -> Self {
        let (finished, _) = watch::channel(0);
        Self(Arc::new(Inner { url, net, clock, state: Mutex::default(), finished }))
    }

    /// Returns the keys, if one of them may have signed a token with this header. An unknown key id causes a fetch,
    /// which concurrent callers share. The id is unknown for good only if a fetch that began after the token came did
    /// not bring it: a token of a new key must not be called invalid because the issuer could not be asked.
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

    /// Returns the issuer's present keys, if it can be asked: those of a fetch that began after this call, or of one
    /// in progress, if they fit.
    pub(crate) async fn newer(&self, fits: impl Fn(&Arc<KeySet>) -> bool) -> Result<Arc<KeySet>, Reason> {
        let mut waited = self.refresh(Asked::ByToken).await;
        if let Waited::Over { earlier: true, .. } = waited {
            if let Some(keys) = self.current().filter(fits) {
                return Ok(keys);
            }
            // WHY: the issuer may have answered before it published the key that this token is signed with.
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

    /// Fetches, or waits for a fetch in progress, and returns when it is over.
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

    /// Returns the pause before the next scheduled fetch: shorter after a failure.
    pub(crate) fn pause(&self, usual: Millis) -> Millis {
        match self.state().failed {
            0 => usual,
            failed => back_off(failed.saturating_sub(1)).min(usual),
        }
    }

    /// Starts a fetch if none is in progress and one is due, and returns its progress; else returns when one may be
    /// made.
    fn claim(&self, asked: Asked) -> Result<Claim, Millis> {
        let now = self.0.clock.now();
        let mut state = self.state();
        // INVARIANT: subscribed while the state is locked, as the end of a fetch is announced, so it sees the end of
        // this fetch only.
        let (finished, fetched) = (self.0.finished.subscribe(), state.fetched);
        if let Some(fetch) = state.running {
            return Ok(Claim { fetch, finished, fetched });
        }
        // WHY: only fetches caused by tokens are counted; an issuer may change its keys right after a scheduled fetch.
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

    /// Returns whether there are keys that are not too old.
    pub(crate) fn is_ready(&self) -> bool {
        self.current().is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch in progress. However it ends, even by a panic, the next one may start and waiting callers continue.
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
    /// The fetch is over, successful or not.
    Over {
        /// Whether it brought keys.
        brought: bool,
        /// Whether the issuer had been asked before the call.
        earlier: bool,
    },
    /// There was no fetch, or it is still in progress; retry after this time.
    NotYet(Millis),
}

/// Cause of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A token with an unknown key id: limited in number.
    ByToken,
    /// Start or interval.
    BySchedule,
}
