//! Lists of approvals, bounded in number and in the length of arguments.

use std::sync::LazyLock;

use cardea_auth::Caller;
use cardea_core::{
    Result,
    canonical::{cut_short, spelled},
    time::Timestamp,
};
use cardea_store::{FromRow, Row, RowError, args, db::Value as Arg};
use serde_json::Value;

use super::{Approval, ApprovalState, COLUMNS, LISTED, ROLES_LISTED, approval_of};
use crate::control::{Control, roles::AUDITOR};

/// The beginning of the arguments as read for a list, and their full length.
const SHOWN: &str = "substr(args, 1, 2048), CAST(octet_length(args) AS BIGINT)";

/// The caller's own approvals, newest first.
static OWN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS}, {SHOWN} FROM approvals WHERE tenant = $1 AND owner = $2 \
         ORDER BY created_at DESC LIMIT 500"
    )
});

/// Open approvals of others: some of each person, so that one person's requests cannot hide those of others.
static OPEN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS}, {SHOWN} FROM approvals JOIN (SELECT id AS shown, \
         ROW_NUMBER() OVER (PARTITION BY owner ORDER BY created_at DESC) AS place FROM approvals \
         WHERE tenant = $1 AND owner <> $2 AND state = 'open' AND expires_at >= $3 AND ({})) AS ranked \
         ON id = shown ORDER BY place, created_at DESC LIMIT 1000",
        any_role()
    )
});

/// Closed approvals of others, among the newest.
static CLOSED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS}, {SHOWN} FROM approvals JOIN (SELECT id AS shown FROM \
         (SELECT id, owner, state, expires_at, roles, created_at FROM approvals WHERE tenant = $1 \
         ORDER BY created_at DESC LIMIT 5000) AS newest \
         WHERE owner <> $2 AND (state <> 'open' OR expires_at < $3) AND ({}) \
         ORDER BY created_at DESC LIMIT 500) AS over_by_now ON id = shown ORDER BY created_at DESC",
        any_role()
    )
});

fn any_role() -> String {
    let one = |n: usize| format!("roles LIKE ${} ESCAPE '!'", n + 4);
    (0..ROLES_LISTED).map(one).collect::<Vec<_>>().join(" OR ")
}

/// Returns patterns that match the JSON role lists that concern the caller, and possibly some others: matches are
/// checked again.
fn patterns(caller: &Caller) -> Vec<Arg> {
    let in_json = |role: &String| {
        let role = Value::from(role.as_str()).to_string();
        format!("%{}%", role.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
    };
    let all = caller.has_role(AUDITOR) || caller.roles.len() > ROLES_LISTED;
    let mut patterns: Vec<String> =
        if all { vec!["%".to_owned()] } else { caller.roles.iter().map(in_json).collect() };
    patterns.resize(ROLES_LISTED, String::new());
    patterns.into_iter().map(Arg::from).collect()
}

/// A row of a list, whose arguments are not parsed yet.
struct Brief {
    approval: Approval,
    begins: String,
    bytes: i64,
}

impl FromRow for Brief {
    fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
        Ok(Self { approval: approval_of(row, Value::Null)?, begins: row.get(16)?, bytes: row.get(17)? })
    }
}

impl Brief {
    fn listed(self, now: Timestamp) -> Approval {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let (arguments, arguments_cut) = if bytes > self.begins.len() {
            (cut_short(&self.begins, bytes), true)
        } else {
            let whole: Value = serde_json::from_str(&self.begins).unwrap_or(Value::Null);
            let shown = serde_json::from_str(&spelled(whole.clone(), LISTED)).unwrap_or(Value::Null);
            let is_cut = shown != whole;
            (shown, is_cut)
        };
        Approval { arguments, arguments_cut, ..self.approval }.at(now)
    }
}

impl Control {
    /// Returns the approvals that the caller asked for or may decide; auditors get those of everybody. Open ones come
    /// first, then the newest. Long arguments are cut.
    ///
    /// # Errors
    /// Store errors.
    pub async fn approvals(&self, caller: &Caller) -> Result<Vec<Approval>> {
        let (db, key, now) = (&self.inner.db, caller.key(), self.now());
        let mut all: Vec<Brief> = db.rows(&OWN, args![&caller.tenant, &key]).await?;
        if !caller.roles.is_empty() {
            for sql in [&OPEN, &CLOSED] {
                let mut args = args![&caller.tenant, &key, now];
                args.extend(patterns(caller));
                let others: Vec<Brief> = db.rows(sql, args).await?;
                all.extend(others.into_iter().filter(|one| one.approval.concerns(caller)));
            }
        }
        // WHY only here, and without a wait: parsed arguments take many times the memory of their text.
        let mut all: Vec<Approval> = all.into_iter().map(|one| one.listed(now)).collect();
        all.sort_by_key(|approval| {
            (approval.state != ApprovalState::Open, std::cmp::Reverse(approval.created_at))
        });
        Ok(all)
    }
}
