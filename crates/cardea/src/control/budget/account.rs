//! Account statements: what a user and a tenant have used this month, and what is left.

use cardea_core::{Result, policy::limit::month, principal::Principal};
use cardea_store::args;
use serde::Serialize;

use super::{Budget, MICROS, TOKENS, group_commit::RowKey};
use crate::control::Control;

/// One calendar month of a user and of their tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The month in UTC, such as `2026-11`.
    pub period: String,
    /// Usage of the user; `None` if users have no budget here.
    pub user: Option<Spent>,
    /// Usage of the whole tenant; `None` if tenants have no budget here.
    pub tenant: Option<Spent>,
}

/// Usage of one budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// Tokens, read and written.
    pub tokens: Sum,
    /// Money, in millionths of a US dollar.
    pub cost_micros: Sum,
}

/// Usage in one unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Used and paid.
    pub spent: u64,
    /// Held for requests in work.
    pub reserved: u64,
    /// Limit of both together; `None` if there is none.
    pub limit: Option<u64>,
}

impl Control {
    /// Returns what this user and the tenant have used this month.
    ///
    /// # Errors
    /// Store errors.
    pub async fn account_of(&self, who: &Principal) -> Result<Account> {
        let period = month(self.now());
        let sql = "SELECT user_id, unit, spent, reserved FROM budgets \
                   WHERE tenant = $1 AND period = $2 AND user_id IN ($3, '')";
        let own = who.key();
        // Recent usage is written first, including payments in progress.
        let place = |account: &str, unit| {
            let (tenant, account) = (who.tenant.to_string(), account.to_owned());
            RowKey { tenant, account, period: period.clone(), unit }
        };
        let places = [&*own, ""].map(|account| [TOKENS, MICROS].map(|unit| place(account, unit)));
        self.pay(self.inner.shares.owed(places.iter().flatten())).await;
        self.change(Vec::new()).await?;
        let rows: Vec<(String, String, u64, u64)> =
            self.inner.db.rows(sql, args![&who.tenant, &period, &own]).await?;
        let of = |account: &str, budget: Budget| {
            let sum = |unit, limit| {
                let row = rows.iter().find(|row| row.0 == account && row.1 == unit);
                let (spent, held) = row.map_or((0, 0), |row| (row.2, row.3));
                let free = self.inner.shares.free(&place(account, unit));
                Sum { spent, reserved: held.saturating_sub(free), limit }
            };
            let spent =
                Spent { tokens: sum(TOKENS, budget.tokens), cost_micros: sum(MICROS, budget.cost_micros) };
            budget.is_set().then_some(spent)
        };
        let settings = &self.inner.settings;
        let (user, tenant) = (of(&own, settings.user_budget), of("", settings.tenant_budget));
        Ok(Account { period, user, tenant })
    }
}
