//! Every table has a tenant, or stands on a short list that people review.

use std::{fmt::Write, path::Path};

use cardea_core::{log::ChainKey, time::Timestamp};
use cardea_store::{
    Commit, Db, DbConfig,
    db::{MIGRATIONS, args},
};

use crate::engines::{KEY, place, server};

const LIST: &str = "../../docs/security/tables-without-tenant.txt";

#[tokio::test]
async fn every_table_has_a_tenant_or_is_on_the_reviewed_list() {
    let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&KEY)).await.unwrap();
    db.migrate().await.unwrap();
    let sql = "SELECT m.name FROM sqlite_master m WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND NOT EXISTS \
               (SELECT 1 FROM pragma_table_info(m.name) c WHERE c.name = 'tenant' AND c.\"notnull\" = 1) ORDER BY m.name";
    let mut found = String::from(
        "# Tables without a tenant column. A test writes this file; a new line needs a reason in review.\n",
    );
    for (name,) in db.rows::<(String,)>(sql, args![]).await.unwrap() {
        writeln!(found, "{name}").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept != found {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &found).unwrap();
        panic!(
            "docs/security/tables-without-tenant.txt was out of date and was written anew: review the change\n{found}"
        );
    }
}

#[tokio::test]
async fn thoughts_of_conversations_that_were_deleted_before_are_emptied() {
    let db = Db::open(DbConfig::at("sqlite::memory:"), ChainKey::new(&KEY)).await.unwrap();
    db.migrate_with(&MIGRATIONS[..17]).await.unwrap();
    let mut before = Commit::new();
    for (talk, deleted) in [("gone", Some(5)), ("kept", None)] {
        let talk_row = "INSERT INTO conversations (id, tenant, owner, user_id, agent, created_at, updated_at, deleted_at) \
                        VALUES ($1, 't', 'o', 'u', 'a', 0, 0, $2)";
        let turn = "INSERT INTO turns (id, tenant, owner, user_id, principal, kind, agent, conversation, state, node, \
                    node_fence, fence, started_at, updated_at, deadline_at) \
                    VALUES ($1, 't', 'o', 'u', '{}', 'chat', 'a', $1, 'answered', 'n', 0, 0, 0, 0, 0)";
        let step = "INSERT INTO steps (turn, number, id, tenant, call_id, tool, effect, safety, args, args_digest, state, \
                    started_at, thoughts) VALUES ($1, 1, $1, 't', 'c', 'x', 'read', 'neither', '{}', '', 'done', 0, 'Hm.')";
        before = before
            .run(talk_row, args![talk, deleted.map(Timestamp)])
            .run(turn, args![talk])
            .run(step, args![talk]);
    }
    db.commit(before).await.unwrap();
    db.migrate().await.unwrap();
    let left: Vec<(String,)> =
        db.rows("SELECT turn FROM steps WHERE thoughts IS NOT NULL", args![]).await.unwrap();
    assert_eq!(left, [("kept".to_owned(),)]);
}

#[tokio::test]
async fn the_migrations_run_on_postgres_too() {
    let Some(server) = server() else { return };
    let place = place(&server);
    let open = || async { Db::open(DbConfig::at(&place.url), ChainKey::new(&KEY)).await.unwrap() };
    let (one, two) = (open().await, open().await);
    let (first, second) = futures::join!(one.migrate(), two.migrate());
    assert_eq!(first.unwrap().to, second.unwrap().to, "two nodes may start at once");
}
