use cardea_core::id::{ConversationId, StepId};
use cardea_store::{Commit, DbConfig};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn key() -> ChainKey {
    ChainKey::new(&[1; 32])
}

/// A consistent turn with one step: each test breaks one thing.
struct Sound {
    db: Db,
    turn: TurnId,
    step: StepId,
    history: History,
}

impl Sound {
    async fn new() -> Self {
        let db = Db::open(DbConfig::at("sqlite::memory:"), key()).await.unwrap();
        db.migrate().await.unwrap();
        let (turn, step, talk) = (TurnId::random(), StepId::random(), ConversationId::random());
        let receipt = json!({ "answer": "refunded" }).to_string();
        let mut commit = Commit::new()
            .run(
                "INSERT INTO turns (id, tenant, owner, user_id, principal, kind, agent, conversation, state, node, node_fence, \
                 fence, receipt, started_at, updated_at, deadline_at, ended_at) \
                 VALUES ($1, 't', 'o', 'u', '{}', 'chat', 'a', $2, 'answered', 'main', 1, 1, $3, 0, 0, 0, 9)",
                args![turn, talk, receipt],
            )
            .run(
                "INSERT INTO steps (turn, number, id, tenant, call_id, tool, effect, safety, state, args, args_digest, \
                 started_at, ended_at) VALUES ($1, 1, $2, 't', 'c', 'refund', 'write', 'keyed', 'done', '{}', '', 0, 5)",
                args![turn, step],
            )
            .run("INSERT INTO leases (name, holder, fence, expires_at) VALUES ('node/main', 'main', 1, $1)", args![NOW.0 + 1]);
        for (seq, role) in [(1, "user"), (2, "assistant")] {
            commit = commit.run(
                "INSERT INTO messages (conversation, seq, id, tenant, turn, role, body, at) VALUES ($1, $2, '', 't', $3, $4, '', 0)",
                args![talk, seq, turn, role],
            );
        }
        for (at, event) in [(3, "step.started"), (5, "step.ended")] {
            let body = json!({ "event": event, "step": step }).to_string();
            commit = commit.audit(&"t".into(), Timestamp(at), body.into_bytes());
        }
        db.commit(commit).await.unwrap();
        let told = Acknowledged { turn, status: "answered".into(), answer: Some("refunded".into()) };
        let effects = vec![Effect { step: step.to_string(), at: Timestamp(4) }];
        Self { db, turn, step, history: History { acknowledged: vec![told], effects, undone: Vec::new() } }
    }

    async fn broken(&self) -> String {
        self.history.check(&self.db, &key(), NOW).await.unwrap().join("; ")
    }

    async fn after(&self, sql: &'static str) -> String {
        self.db.commit(Commit::new().run(sql, args![])).await.unwrap();
        self.broken().await
    }
}

#[tokio::test]
async fn a_sound_history_breaks_nothing() {
    assert_eq!(Sound::new().await.broken().await, "");
}

#[tokio::test]
async fn each_broken_invariant_is_named() {
    for (sql, named) in [
        ("DELETE FROM turns", "I1"),
        ("UPDATE turns SET state = 'failed'", "I1"),
        ("UPDATE turns SET receipt = '{}'", "I1"),
        ("DELETE FROM messages WHERE role = 'assistant'", "I1"),
        ("UPDATE audit SET body = CAST('{}' AS BLOB) WHERE seq = 1", "I4"),
        ("DELETE FROM audit WHERE seq = 2", "I4"),
        ("UPDATE turns SET state = 'running', ended_at = NULL, node_fence = 0", "I8"),
        (
            "INSERT INTO conversations (id, tenant, owner, user_id, agent, open_turn, created_at, updated_at) \
             SELECT 'c', 't', 'o', 'u', 'a', id, 0, 0 FROM turns",
            "I8",
        ),
    ] {
        let broken = Sound::new().await.after(sql).await;
        assert!(broken.contains(named), "{sql}: {broken:?}");
    }
}

#[tokio::test]
async fn a_second_effect_and_one_without_or_before_its_intent_are_found() {
    let mut sound = Sound::new().await;
    sound.history.effects.push(Effect { step: sound.step.to_string(), at: Timestamp(4) });
    assert!(sound.broken().await.contains("I2"));

    let mut sound = Sound::new().await;
    sound.history.effects.push(Effect { step: String::new(), at: Timestamp(4) });
    assert!(sound.broken().await.contains("I3"));

    let mut sound = Sound::new().await;
    sound.history.effects[0].at = Timestamp(2);
    assert!(sound.broken().await.contains("I3"));

    let mut sound = Sound::new().await;
    let undone = Effect { step: format!("undo.{}", sound.step), at: Timestamp(8) };
    sound.history.undone.push(undone.clone());
    assert!(sound.broken().await.contains("I3"), "nobody said that it would be taken back");
    let body = json!({ "event": "step.undoing", "step": sound.step }).to_string();
    let commit = Commit::new().audit(&"t".into(), Timestamp(7), body.into_bytes());
    sound.db.commit(commit).await.unwrap();
    assert_eq!(sound.broken().await, "");
    sound.history.undone.push(undone);
    assert!(sound.broken().await.contains("I2"));
}

#[tokio::test]
async fn an_intent_without_an_end_is_found_unless_its_turn_is_open() {
    let sound = Sound::new().await;
    let step = StepId::random();
    let body = json!({ "event": "step.started", "step": step }).to_string();
    let mut commit = Commit::new().audit(&"t".into(), Timestamp(6), body.into_bytes());
    commit = commit.run(
        "INSERT INTO steps (turn, number, id, tenant, call_id, tool, effect, safety, state, args, args_digest, started_at) \
         VALUES ($1, 2, $2, 't', 'c', 'refund', 'write', 'keyed', 'started', '{}', '', 0)",
        args![sound.turn, step],
    );
    sound.db.commit(commit).await.unwrap();
    assert!(sound.broken().await.contains("I4"));
    let mut sound = sound;
    sound.history.acknowledged.clear();
    assert_eq!(sound.after("UPDATE turns SET state = 'running', ended_at = NULL").await, "");
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    let secret = "canary-5f1c2a-secret";
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("clean"), "nothing of the kind, canary-5f1c2a only").unwrap();
    assert_eq!(leaks(folder.path(), &[secret]).unwrap(), Vec::<String>::new());
    // The base64 of `x`, `xy` and nothing, followed by the secret.
    for written in [
        format!("log: {secret}."),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        "Y2FuYXJ5LTVmMWMyYS1zZWNyZXQ=".to_owned(),
        "eGNhbmFyeS01ZjFjMmEtc2VjcmV0".to_owned(),
        "eHljYW5hcnktNWYxYzJhLXNlY3JldA==".to_owned(),
    ] {
        fs::write(inner.join("leak"), &written).unwrap();
        assert_eq!(leaks(folder.path(), &[secret]).unwrap().len(), 1, "{written}");
    }
}
