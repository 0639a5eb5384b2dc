//! May they: rate, budget and load; guardrails; policy and approvals.
//!
//! Promises: what it lets through carries a proof ([`Admission`], [`Screened`], [`Permit`]) that nobody else can make.
//! Whatever it cannot decide is refused: a policy that cannot be evaluated, a guardrail that fails, an approval that
//! does not fit the call byte for byte. Called by `flow`; it does not know how an action is done.

mod admit;
mod approval;
mod budget;
mod guard;
mod permit;
mod policy;
mod refused;
mod requester;
mod roles;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use cardea_core::{
    Result,
    guard::Profile,
    policy::{Installation, Snapshot},
    time::{Millis, SharedClock, Timestamp},
};
use cardea_store::{Db, Jobs, Shared, shared::Rate};

pub use self::{
    admit::{Admission, Listening},
    approval::{Answer, Approval, ApprovalState, CallContext, Choice},
    budget::{Account, Budget, Estimate, Spent, Sum},
    guard::{Found, OutputWindow, Placeholders, Refused, Screened, Words, with_encoder},
    permit::{Permission, Permit, Ruling},
    policy::{
        Adopted, File, LeftOut, Watch, adopted, adopted_text, files, is_policy_file, load, text, unread,
    },
    requester::Requester,
    roles::Right,
};
use crate::{observe::Observe, vault::Vault};

/// What the room is told at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node's name in the installation.
    pub node: String,
    /// The folder of the `.cedar` files.
    pub policies: PathBuf,
    /// The role whose people may lift the built-in policy.
    pub approver: String,
    /// How long a call may wait for a person.
    pub approval: Millis,
    /// Requests of one user.
    pub per_user: Rate,
    /// Requests of one tenant.
    pub per_tenant: Rate,
    /// Requests in work, of everybody, of one tenant, of one user.
    pub in_flight: [u32; 3],
    /// Streams of events that one user may have open.
    pub streams_per_user: u32,
    /// What one user may use up in a month.
    pub user_budget: Budget,
    /// What one tenant may use up in a month.
    pub tenant_budget: Budget,
    /// The guard profile of whoever names none.
    pub guard: String,
    /// Guard profiles beside those that ship.
    pub guards: Vec<Profile>,
    /// What policies may name beside tools.
    pub names: Installation,
}

/// The room. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    shared: Arc<dyn Shared>,
    observe: Observe,
    vault: Vault,
    clock: SharedClock,
    jobs: Jobs,
    settings: Settings,
    in_force: policy::InForce,
    /// The version whose texts stand in the database.
    recorded: Mutex<Option<Arc<str>>>,
    /// What has been told of the policies.
    warned: Mutex<policy::Warned>,
    memo: policy::Memo,
    guards: guard::Guards,
    slots: Arc<admit::Slots>,
    streams: Arc<admit::Slots>,
    shares: budget::Shares,
    group_commit: budget::GroupCommit,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("policies", &self.policies().version()).finish_non_exhaustive()
    }
}

/// What the room is built from.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Where approvals, budgets and decisions are kept.
    pub db: Db,
    /// Token buckets and wake-ups.
    pub shared: Arc<dyn Shared>,
    /// Where it tells what it decided.
    pub observe: Observe,
    /// What proves the decisions of people.
    pub vault: Vault,
    /// The time.
    pub clock: SharedClock,
    /// Tasks.
    pub jobs: Jobs,
}

impl Control {
    /// A room that refuses every call until it has policies: see [`Control::adopt`].
    ///
    /// # Errors
    /// `misconfigured` if the guard profile does not exist.
    pub fn new(neighbours: Neighbours, settings: Settings) -> Result<Self> {
        let Neighbours { db, shared, observe, vault, clock, jobs } = neighbours;
        let guards = guard::Guards::new(&settings.guard, settings.guards.clone())?;
        let slots = Arc::new(admit::Slots::new(settings.in_flight));
        let streams = Arc::new(admit::Slots::new([u32::MAX, u32::MAX, settings.streams_per_user]));
        let in_force = policy::InForce::new(policy::empty()?);
        let memo = policy::Memo::new();
        let inner = Inner {
            db,
            shared,
            observe,
            vault,
            clock,
            jobs,
            settings,
            in_force,
            recorded: Mutex::default(),
            warned: Mutex::default(),
            memo,
            guards,
            slots,
            streams,
            shares: budget::Shares::default(),
            group_commit: budget::GroupCommit::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The policies of now.
    #[must_use]
    pub fn policies(&self) -> Arc<Snapshot> {
        self.inner.in_force.snapshot()
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}
