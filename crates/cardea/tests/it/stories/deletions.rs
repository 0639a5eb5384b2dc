//! A conversation is deleted while something is still done in it.

use std::time::Duration;

use cardea_store::{Engine, args};
use cardea_testkit::{World, model::Act, world::Say};
use serde_json::json;

use super::{
    cancels::{begins, running},
    limits::slow,
    providers::ponders,
    undo::{POLICIES, reserve, warehouse},
};

/// Everything that is kept of the words of a turn.
async fn left(world: &World) -> Vec<String> {
    let sql = "SELECT prompt FROM turns UNION ALL SELECT COALESCE(receipt, '') FROM turns
               UNION ALL SELECT args FROM steps UNION ALL SELECT COALESCE(outcome, '') FROM steps
               UNION ALL SELECT COALESCE(undo, '') FROM steps
               UNION ALL SELECT COALESCE(failure, '') FROM turns
               UNION ALL SELECT args FROM approvals UNION ALL SELECT reason FROM approvals
               UNION ALL SELECT COALESCE(comment, '') FROM approvals
               UNION ALL SELECT body FROM events UNION ALL SELECT body FROM messages";
    let rows: Vec<(String,)> = world.app.db.rows(sql, args![]).await.unwrap();
    rows.into_iter().map(|(text,)| text).filter(|text| !text.is_empty() && text != "{}").collect()
}

/// The columns of all tables in which these words stand, for either engine.
async fn places(world: &World, words: &str) -> Vec<String> {
    let columns = match world.app.db.engine() {
        Engine::Sqlite => {
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
        }
        Engine::Postgres => {
            "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns \
             WHERE table_schema = 'public'"
        }
    };
    let columns: Vec<(String, String)> = world.app.db.rows(columns, args![]).await.unwrap();
    let mut found = Vec::new();
    for (table, column) in columns {
        let sql =
            format!("SELECT COUNT(*) FROM {table} WHERE CAST(\"{column}\" AS TEXT) LIKE '%' || $1 || '%'");
        let sql: &'static str = Box::leak(sql.into_boxed_str());
        let (rows,): (i64,) = world.app.db.row(sql, args![words]).await.unwrap().unwrap();
        if rows > 0 {
            found.push(format!("{table}.{column}"));
        }
    }
    found
}

#[tokio::test]
async fn what_a_model_thought_goes_with_its_conversation() {
    let world = World::plan().ruled(ponders).start().await;
    let ann = world.user("support");
    let turn = ann.asks("What is with order 17?").await;
    turn.answers("It is there.").await;
    assert_eq!(places(&world, "The order is the user").await, ["steps.thoughts"]);
    drop(ann.delete(&format!("/api/v1/conversations/{}", turn.conversation())).await.expect(204));
    assert_eq!(places(&world, "The order is the user").await, Vec::<String>::new());
}

/// How the only turn has ended.
async fn ended(world: &World) -> (String, String) {
    let sql = "SELECT state, COALESCE(code, '') FROM turns WHERE ended_at IS NOT NULL";
    let work = async {
        loop {
            let row: Option<(String, String)> = world.app.db.row(sql, args![]).await.unwrap();
            match row {
                Some(row) => return row,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("the turn ends")
}

fn pair(state: &str, code: &str) -> (String, String) {
    (state.to_owned(), code.to_owned())
}

#[tokio::test]
async fn a_turn_that_waits_for_a_person_ends_with_its_conversation_and_the_model_is_told_nothing() {
    let arguments = json!({ "order_id": "ORD-17", "amount": 150, "reason": "for Secretname" });
    let acts = [Act::call("ops__process_refund", arguments), Act::say("never said")];
    let world = World::with_model(acts).await;
    let (ann, boss) = (world.user("support"), world.user("supervisor"));
    let turn = ann.asks("Refund 150 for order 17 to Secretname, please.").await;
    turn.waits_for_approval("ops__process_refund").await;
    drop(ann.delete(&format!("/api/v1/conversations/{}", turn.conversation())).await.expect(204));
    assert_eq!(ended(&world).await, pair("failed", "cancelled"), "before the answer");
    assert_eq!(left(&world).await, Vec::<String>::new());
    drop(boss.decides(&turn, "approve").await.expect(409));
    assert_eq!(world.model().seen().len(), 1, "deleted words go nowhere");
    assert_eq!(world.shop().refunds(17).await, 0);
    let audit = world.audit().await;
    audit.tells(["step.waits", "conversation.deleted", "step.refused", "turn.ended"]);
    let deleted = audit.entries.iter().find(|entry| entry["event"] == "conversation.deleted").unwrap();
    assert!(deleted["request"].is_string(), "{deleted}");
}

#[tokio::test]
async fn a_turn_that_runs_does_nothing_more_once_its_conversation_is_deleted() {
    let wish = json!({ "order_id": "ORD-17", "amount": 150, "reason": "for Secretname" });
    let acts =
        [Act::call("demo__look", json!({})), Act::call("ops__process_refund", wish), Act::say("never said")];
    let world = slow("tool_timeout = \"2s\"\n", acts).await;
    let ann = world.user("support");
    let delete = async {
        while world.service().lines().is_empty() {
            tokio::task::yield_now().await;
        }
        let sql = "SELECT id FROM conversations";
        let (id,): (String,) = world.app.db.row(sql, args![]).await.unwrap().unwrap();
        ann.delete(&format!("/api/v1/conversations/{id}")).await
    };
    let (turn, deleted) = tokio::join!(ann.asks("Look it up for Secretname."), delete);
    drop(deleted.expect(204));
    assert_eq!(
        (turn.reply.at("/status"), turn.reply.at("/error/code")),
        ("failed", "cancelled"),
        "{}",
        turn.reply.text
    );
    assert_eq!(ended(&world).await, pair("failed", "cancelled"));
    assert_eq!(world.model().seen().len(), 1, "the model is not asked again");
    assert_eq!(left(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_turn_has_done_is_taken_back_when_its_conversation_is_deleted() {
    let world = warehouse(POLICIES, [reserve("book"), begins("I have reserved")]).await;
    let ann = world.user("support");
    let delete = async {
        let sql = "SELECT conversation FROM turns WHERE id = $1";
        let (id,): (String,) = world.app.db.row(sql, args![running(&world).await]).await.unwrap().unwrap();
        ann.delete(&format!("/api/v1/conversations/{id}")).await
    };
    drop(ann.chats_until("Reserve a book.", "story", delete).await.expect(204));
    assert_eq!(ended(&world).await, pair("unwound", "cancelled"));
    assert_eq!(world.service().came("DELETE /reservations/a1").len(), 1);
    assert_eq!(left(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_write_whose_result_holds_personal_data_is_taken_back_when_its_conversation_was_deleted_meanwhile()
{
    let world = warehouse(POLICIES, [reserve("book"), Act::say("never said")]).await;
    let result = json!({ "id": "a1", "told": "charged to 5500 0055 5555 5559" });
    world.service().says("POST /reservations", [Say::Late(Duration::from_millis(400), 201, result)]);
    let ann = world.user("support");
    let delete = async {
        while world.service().lines().is_empty() {
            tokio::task::yield_now().await;
        }
        let sql = "SELECT conversation FROM turns WHERE id = $1";
        let (id,): (String,) = world.app.db.row(sql, args![running(&world).await]).await.unwrap().unwrap();
        ann.delete(&format!("/api/v1/conversations/{id}")).await
    };
    let question = "Reserve a book for the card 4111 1111 1111 1111.";
    let (turn, deleted) = tokio::join!(ann.asks(question), delete);
    drop(deleted.expect(204));
    assert_eq!(
        (turn.reply.at("/status"), turn.reply.at("/error/code")),
        ("unwound", "cancelled"),
        "{}",
        turn.reply.text
    );
    assert_eq!(world.service().came("DELETE /reservations/a1").len(), 1);
    let sql = "SELECT name FROM secrets WHERE name LIKE 'placeholders/%'";
    let kept: Vec<(String,)> = world.app.db.rows(sql, args![]).await.unwrap();
    assert_eq!(kept, [], "what stands behind its placeholders is gone with it");
}

#[tokio::test]
async fn a_turn_of_a_conversation_that_is_gone_is_never_gone_on_with() {
    let arguments = json!({ "order_id": "ORD-17", "amount": 150, "reason": "for Secretname" });
    let world =
        World::with_model([Act::call("ops__process_refund", arguments), Act::say("never said")]).await;
    let turn = world.user("support").asks("Refund 150 for order 17 to Secretname, please.").await;
    // As an older Cardea has left it: the row says only that it waits.
    let gone = cardea_store::Commit::new()
        .run("UPDATE conversations SET deleted_at = 1 WHERE id = $1", args![turn.conversation()])
        .run("UPDATE approvals SET state = 'expired'", args![]);
    world.app.db.commit(gone).await.unwrap();
    assert_eq!(ended(&world).await, pair("failed", "cancelled"));
    assert_eq!(world.model().seen().len(), 1);
    assert_eq!(
        left(&world)
            .await
            .iter()
            .filter(|text| text.contains("Secretname") && !text.contains("\"role\""))
            .count(),
        0
    );
}
