//! Room `control` answers "may they?": rate, budget and load; guardrails; policies and approvals.
//!
//! Promises: everything it lets through carries a proof ([`Admission`], [`Screened`], [`Permit`]) that only this room
//! can make. Whatever it cannot decide is refused: a policy that cannot be evaluated, a guardrail that fails, an
//! approval that does not match the call byte for byte. Called by `flow`; it does not know how an action is done.

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
    approval::{Answer, Approval, ApprovalState, CallContext, Choice, PATIENCE},
    budget::{Account, Budget, Estimate, Spent, Sum},
    guard::{Found, OutputWindow, Placeholders, Refused, Screen, Screened, Words, with_encoder},
    permit::{Permission, Permit, Ruling},
    policy::{
        Adopted, File, LeftOut, Watch, adopted, adopted_text, files, is_policy_file, load, text, unread,
    },
    requester::Requester,
    roles::Right,
};
use crate::{observe::Observe, vault::Vault};

/// Settings of the room, fixed at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of this node in the installation.
    pub node: String,
    /// Folder of the `.cedar` files.
    pub policies: PathBuf,
    /// Role that may lift the built-in policy.
    pub approver: String,
    /// How long a call may wait for approval.
    pub approval: Millis,
    /// Request rate of one user.
    pub per_user: Rate,
    /// Request rate of one tenant.
    pub per_tenant: Rate,
    /// Limits of requests in progress: in total, of one tenant, of one user.
    pub in_flight: [u32; 3],
    /// Limit of open event streams of one user.
    pub streams_per_user: u32,
    /// Monthly budget of one user.
    pub user_budget: Budget,
    /// Monthly budget of one tenant.
    pub tenant_budget: Budget,
    /// Guard profile of agents that name none.
    pub guard: String,
    /// Guard profiles beside the built-in ones.
    pub guards: Vec<Profile>,
    /// Names that policies may use beside tools.
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
    /// The version whose texts are in the database.
    recorded: Mutex<Option<Arc<str>>>,
    /// What was already reported about the policies.
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

/// The rooms and handles that the room is built from.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Store of approvals, budgets and decisions.
    pub db: Db,
    /// Token buckets and wake-ups.
    pub shared: Arc<dyn Shared>,
    /// Logs and meters for its decisions.
    pub observe: Observe,
    /// Proves the decisions of people.
    pub vault: Vault,
    /// The clock.
    pub clock: SharedClock,
    /// Background tasks.
    pub jobs: Jobs,
}

impl Control {
    /// Creates a room that refuses every call until it has policies: see [`Control::adopt`].
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

    /// Returns the policies in force.
    #[must_use]
    pub fn policies(&self) -> Arc<Snapshot> {
        self.inner.in_force.snapshot()
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}
