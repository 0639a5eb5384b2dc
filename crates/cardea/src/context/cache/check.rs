//! Spot checks of the cache: a share of the semantic hits is generated again, compared with the cached answer, and
//! counted against an error budget.
//!
//! A scope is one agent of one tenant. An undecided comparison counts against the budget, so that the bound stays a
//! bound; only a proven difference removes entries. The state of each scope is kept in the database, since a restart
//! must not forget that a scope was wrong.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cardea_core::{
    Result,
    cache::{Budget, Checked, Mode},
    id::{TenantId, TurnId, random_bits},
    principal::Principal,
    time::Millis,
};
use cardea_store::{
    Commit, args,
    shared::cache::{Key, Tag},
};
use serde_json::json;

use super::{Agreement, Cache, Hit, Layer, Query, agreement, query::Scope};
use crate::observe::{CheckResult, Entry};

/// How long a comparison waits for its vectors.
const LEISURE: Duration = Duration::from_secs(5);

/// Extent of the checks.
#[derive(Debug, Clone, Copy)]
pub struct CheckSettings {
    /// Share of semantic hits that are generated again, from 0 to 1.
    pub share: f64,
    /// Money that one scope may spend on checks per day, in millionths of a US dollar.
    pub micros: u64,
    /// Acceptable share of wrongly answered questions.
    pub errors: f64,
}

#[derive(Debug)]
struct State {
    budget: Budget,
    day: i64,
    spent: u64,
    running: bool,
}

/// The error budgets of all scopes, one per agent and tenant. Both are created by operators, not by users.
#[derive(Debug)]
pub(super) struct Budgets {
    settings: CheckSettings,
    scopes: Mutex<HashMap<Scope, State>>,
}

impl Budgets {
    pub(super) fn new(settings: CheckSettings) -> Self {
        Self { settings, scopes: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Scope, State>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, scope: &Scope, work: impl FnOnce(&mut State) -> T) -> T {
        let mut scopes = self.lock();
        let fresh = || State { budget: Budget::new(self.settings.errors), day: 0, spent: 0, running: false };
        work(scopes.entry(scope.clone()).or_insert_with(fresh))
    }

    /// Returns the decision mode, as strict as this scope's errors require.
    pub(super) fn tightened(&self, scope: &Scope, mode: Mode) -> Mode {
        let scopes = self.lock();
        scopes.get(scope).map_or(mode, |state| state.budget.mode(mode))
    }

    pub(super) fn looked_up(&self, scope: &Scope, hit: bool) {
        self.with(scope, |state| state.budget.looked_up(hit));
    }

    fn release(&self, due: &Due, spent: u64) {
        self.with(&due.scope, |state| {
            state.running = false;
            state.spent = state.spent.saturating_sub(due.reserved).saturating_add(spent);
        });
    }
}

/// An answer that was generated again.
#[derive(Debug, Clone, Copy)]
pub struct Fresh<'a> {
    /// Text of the answer.
    pub text: &'a str,
    /// Cost in millionths of a US dollar.
    pub micros: u64,
}

/// A hit that is to be checked. Its money is reserved; dropping it returns the reservation.
#[derive(Debug)]
pub struct Due {
    cache: Cache,
    scope: Scope,
    query: Key,
    served: Key,
    group: Tag,
    text: String,
    reserved: u64,
    settled: bool,
}

impl Drop for Due {
    fn drop(&mut self) {
        if !self.settled {
            self.cache.0.budgets.release(self, 0);
        }
    }
}

impl Due {
    /// Ends a check without a result, which may have cost something.
    pub fn abandon(mut self, spent: u64) {
        self.settled = true;
        self.cache.0.budgets.release(&self, spent);
    }
}

/// State of a scope.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Standing {
    /// The agent.
    pub agent: String,
    /// Upper bound, with 95 % confidence, of the share of questions answered wrongly. 1 before the first check.
    pub error_bound: f64,
    /// Strictness, from 0 (as measured before release) to 1 (exact repeats only).
    pub strain: f32,
    /// Cost of today's checks in millionths of a US dollar.
    pub checked_micros_today: u64,
}

impl Cache {
    /// Decides whether this hit is to be checked.
    #[must_use]
    pub fn due(&self, query: &Query, hit: &Hit) -> Option<Due> {
        let settings = self.0.budgets.settings;
        let at = query.home.as_ref().map(|home| home.at).filter(|_| hit.layer == Layer::Semantic)?;
        // WHY: random and not every n-th hit, which a client could count.
        let chance = (random_bits() >> 75) as f64 / (1_u64 << 53) as f64;
        if chance >= settings.share {
            return None;
        }
        let scope = query.scope();
        let today = self.0.clock.now().0.div_euclid(86_400_000);
        let reserved = hit.micros;
        let free = self.0.budgets.with(&scope, |state| {
            if state.day != today {
                (state.day, state.spent) = (today, 0);
            }
            let fits = !state.running && state.spent.saturating_add(reserved) <= settings.micros;
            if fits {
                (state.running, state.spent) = (true, state.spent.saturating_add(reserved));
            }
            fits
        });
        free.then(|| Due {
            cache: self.clone(),
            scope,
            query: at.key,
            served: hit.key,
            group: self.group(&at.place, &hit.text),
            text: hit.text.clone(),
            reserved,
            settled: false,
        })
    }

    /// Records the result of a check. A proven error removes the entry and all entries with the same answer, and goes
    /// into the audit log.
    pub async fn checked(
        &self,
        mut due: Due,
        fresh: Fresh<'_>,
        principal: &Principal,
        turn: TurnId,
    ) -> Agreement {
        due.settled = true;
        self.0.budgets.release(&due, fresh.micros);
        let agreement = agreement(&due.text, fresh.text, self.cosine(&due.text, fresh.text).await);
        let (checked, result) = match agreement {
            Agreement::Same => (Checked::Right, CheckResult::Same),
            Agreement::Differs(_) => (Checked::Wrong, CheckResult::Wrong),
            Agreement::Doubt => (Checked::Wrong, CheckResult::Doubt),
        };
        let budget = self.0.budgets.with(&due.scope, |state| {
            state.budget.checked(checked);
            state.budget.clone()
        });
        let (tenant, agent) = &due.scope;
        self.0.observe.cache_check(agent, result);
        self.0.stats.count(tenant, agent, "semantic", |tally| {
            tally.checks += 1;
            tally.doubts += u64::from(result == CheckResult::Doubt);
            tally.errors += u64::from(result == CheckResult::Wrong);
        });
        let mut commit = Commit::new().run(
            "INSERT INTO cache_budgets (tenant, agent, node, state, updated_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (tenant, agent, node) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at",
            args![tenant, agent, &self.0.node, json!(budget).to_string(), self.0.clock.now()],
        );
        if let Agreement::Differs(why) = agreement {
            let detail = json!({
                "agent": agent, "asked": due.query.to_string(), "served": due.served.to_string(), "why": why,
                "error_bound": budget.bound(), "strain": budget.strain(),
            });
            let entry = Entry { turn: Some(turn), detail, ..Entry::new(principal, "cache.wrong") };
            self.0.observe.audit(&mut commit, entry);
            self.clear(tenant, &[due.group]).await;
        }
        if let Err(error) = self.0.db.commit(commit).await {
            tracing::error!(error.cause = %error, "what a check of the cache showed could not be written down");
        }
        agreement
    }

    async fn cosine(&self, one: &str, other: &str) -> Option<f32> {
        let embedder = self.0.embedder.as_ref()?;
        // No request waits for the result.
        let made = embedder.embed(vec![one.to_owned(), other.to_owned()], LEISURE).await.ok()?;
        made.first()?.cosine(made.get(1)?)
    }

    /// Loads the budgets as this node left them.
    pub(super) async fn load_budgets(&self) -> Result<()> {
        let sql = "SELECT tenant, agent, state FROM cache_budgets WHERE node = $1 AND updated_at > $2";
        // An old finding says nothing about today's traffic.
        let since = self.0.clock.now().0 - Millis::from_secs(90 * 86_400).0 as i64;
        let rows: Vec<(String, String, String)> = self.0.db.rows(sql, args![&self.0.node, since]).await?;
        for (tenant, agent, state) in rows {
            let Ok(budget) = serde_json::from_str::<Budget>(&state) else { continue };
            let share = self.0.budgets.settings.errors;
            let scope = (TenantId::new(tenant), agent);
            self.0.budgets.with(&scope, |state| state.budget = budget.for_share(share));
        }
        Ok(())
    }

    /// Returns the state of the scopes of a tenant.
    #[must_use]
    pub fn standing(&self, tenant: &TenantId) -> Vec<Standing> {
        let scopes = self.0.budgets.lock();
        let mut all: Vec<Standing> = scopes
            .iter()
            .filter(|((of, _), _)| of == tenant)
            .map(|((_, agent), state)| Standing {
                agent: agent.clone(),
                error_bound: state.budget.bound(),
                strain: state.budget.strain(),
                checked_micros_today: state.spent,
            })
            .collect();
        all.sort_by(|a, b| a.agent.cmp(&b.agent));
        all
    }
}
