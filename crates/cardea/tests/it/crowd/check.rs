//! The checks after the last fault, by the numbers of the invariants.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cardea_core::time::{Clock as _, SystemClock};
use cardea_store::{Db, db::args};
use cardea_testkit::{
    history::{Effect, History, leaks},
    world::House,
};
use serde_json::Value;

use super::{Crowd, PEOPLE, client::Saw};

/// Waits until no turn is open: what the kills have left is taken up by itself (I8). Fails after half a minute.
pub(crate) async fn settled(house: &House, saw: &Saw) {
    let open = |status: &str| matches!(status, "running" | "waiting");
    let owner = house.user("ann");
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    for (name, talk) in saw.talks.iter().filter(|(name, _)| *name == "ann") {
        let messages = owner.get(&format!("/api/v1/conversations/{talk}/messages")).await.expect(200);
        let turn = messages.at("/messages/0/turn").to_owned();
        while open(owner.get(&format!("/api/v1/turns/{turn}")).await.expect(200).at("/status")) {
            assert!(tokio::time::Instant::now() < until, "I8: {turn} of {name} is still open");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// I6: nobody but the owner finds a conversation, not even an administrator of the same tenant.
pub(crate) async fn strangers(house: &House, saw: &Saw) -> Vec<String> {
    let mut broken = Vec::new();
    for (at, (name, talk)) in saw.talks.iter().enumerate().step_by(saw.talks.len() / 50 + 1) {
        let other = ["ann", "cat", "dan", "sue", "eve"].into_iter().cycle().skip(at).find(|who| who != name);
        let other = other.unwrap_or("eve");
        let found = house.user(other).get(&format!("/api/v1/conversations/{talk}/messages")).await;
        if found.status != 404 {
            broken.push(format!("I6: {other} got {} for a conversation of {name}", found.status));
        }
        let own = house.user(name).get(&format!("/api/v1/conversations/{talk}")).await;
        if own.status != 200 {
            broken.push(format!("I1: {name} got {} for an own conversation", own.status));
        }
    }
    broken
}

/// I1 to I5, I7 and I8, over everything that was written. The process must have ended.
pub(crate) async fn histories(crowd: &Crowd, saw: &Saw) -> Vec<String> {
    let house = &crowd.house;
    let db = house.database().await;
    let paid = house.shop().paid().await;
    let mut effects: Vec<Effect> =
        paid.iter().map(|paid| Effect { step: paid.key.clone(), at: paid.at }).collect();
    let deeds = crowd.warehouse.deeds();
    let (undone, done) = deeds.iter().partition::<Vec<_>, _>(|deed| deed.line.starts_with("DELETE"));
    effects.extend(done.iter().map(|deed| Effect { step: deed.key.clone(), at: deed.at }));
    let undone = undone.iter().map(|deed| Effect { step: deed.key.clone(), at: deed.at }).collect();
    let history = History { acknowledged: saw.acknowledged.clone(), effects, undone };
    let mut broken = history.check(&db, house.key(), SystemClock.now()).await.expect("the checker");
    broken.extend(saw.wrong.iter().map(|wrong| format!("a wrong answer: {wrong}")));
    let keys: BTreeSet<&str> = paid.iter().map(|paid| paid.key.as_str()).collect();
    for step in saw.done.iter().filter(|step| !keys.contains(step.as_str())) {
        broken.push(format!("P1: {step} was said to be paid, and the shop knows nothing of it"));
    }
    for (text, written) in &saw.comments {
        let found = house.shop().said(text).await;
        if found > 1 || (*written && found != 1) {
            broken.push(format!("I2: the comment `{text}` is there {found} times (told: {written})"));
        }
    }
    for approval in &saw.approved {
        let sql = "SELECT state FROM approvals WHERE id = $1";
        let state = db.row::<(String,)>(sql, args![approval]).await.expect("the approvals");
        if !state.as_ref().is_some_and(|(state,)| state == "approved" || state == "spent") {
            broken.push(format!("I1: {approval} was given and is {state:?}"));
        }
    }
    let kept = crowd.warehouse.state();
    if !kept.is_empty() {
        broken.push(format!("F4: each purchase failed, and {} reservations stay", kept.len()));
    }
    nothing_is_open(&db, &mut broken).await;
    counters_agree(&db, &mut broken).await;
    let mut canaries = Vec::new();
    for who in PEOPLE {
        canaries.extend(house.user(who.name).token().rsplit('.').next().map(str::to_owned));
    }
    let canaries: Vec<&str> = canaries.iter().map(String::as_str).collect();
    broken.extend(leaks(house.folder(), &canaries).expect("the files"));
    db.close().await;
    broken
}

/// I8, at its strictest: after an orderly end nothing runs, and what waits is waited for by an open approval.
async fn nothing_is_open(db: &Db, broken: &mut Vec<String>) {
    let sql = "SELECT id, state FROM turns WHERE ended_at IS NULL AND NOT (state = 'waiting' AND EXISTS \
               (SELECT 1 FROM approvals a WHERE a.id = turns.waiting_for AND a.state = 'open'))";
    for (id, state) in db.rows::<(String, String)>(sql, args![]).await.expect("the turns") {
        broken.push(format!("I8: {id} is {state} after an orderly end"));
    }
}

/// I5: each budget has paid what its turns used, and holds nothing back.
async fn counters_agree(db: &Db, broken: &mut Vec<String>) {
    let sql = "SELECT tenant, owner, CAST(SUM(input_tokens + output_tokens) AS BIGINT) FROM turns GROUP BY tenant, owner";
    let used: Vec<(String, String, i64)> = db.rows(sql, args![]).await.expect("the turns");
    let mut counts: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (tenant, owner, tokens) in used {
        *counts.entry((tenant.clone(), String::new())).or_default() += tokens;
        *counts.entry((tenant, owner)).or_default() += tokens;
    }
    let sql = "SELECT tenant, user_id, CAST(SUM(spent) AS BIGINT), CAST(SUM(reserved) AS BIGINT) FROM budgets WHERE unit = 'tokens' GROUP BY tenant, user_id";
    let kept: Vec<(String, String, i64, i64)> = db.rows(sql, args![]).await.expect("the budgets");
    for (tenant, owner, spent, reserved) in kept {
        let used = counts.remove(&(tenant.clone(), owner.clone())).unwrap_or_default();
        if spent != used || reserved != 0 {
            broken.push(format!("I5: {tenant}/{owner} used {used}, paid {spent}, still reserves {reserved}"));
        }
    }
    for ((tenant, owner), used) in counts.into_iter().filter(|(_, used)| *used != 0) {
        broken.push(format!("I5: {tenant}/{owner} used {used} and no budget knows of it"));
    }
}

/// What the run has seen, for the record.
pub(crate) async fn told(saw: &Saw, ready: &[Duration], crowd: &Crowd) -> String {
    let mut ready: Vec<u128> = ready.iter().map(Duration::as_millis).collect();
    ready.sort_unstable();
    let at = |part: usize| ready.get((ready.len() * part / 100).min(ready.len().saturating_sub(1))).copied();
    let waits = saw.acknowledged.iter().filter(|seen| seen.status == "answered").count();
    let facts = [
        ("starts", Value::from(ready.len())),
        ("ready_ms_p50", Value::from(at(50).unwrap_or_default() as u64)),
        ("ready_ms_max", Value::from(at(100).unwrap_or_default() as u64)),
        ("requests_answered", Value::from(saw.answered)),
        ("requests_lost", Value::from(saw.lost)),
        ("requests_later", Value::from(saw.later)),
        ("turns_acknowledged", Value::from(saw.acknowledged.len())),
        ("turns_answered", Value::from(waits)),
        ("turns_unknown", Value::from(saw.unknown)),
        ("turns_unwound", Value::from(saw.unwound)),
        ("undone_in_ledger", Value::from(crowd.warehouse.deeds().len() / 2)),
        ("refunds_told", Value::from(saw.done.len())),
        ("refunds_in_ledger", Value::from(crowd.house.shop().paid().await.len())),
        ("approvals", Value::from(saw.approved.len())),
        ("comments", Value::from(saw.comments.len())),
    ];
    let facts: Vec<String> = facts.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    facts.join(" ")
}
