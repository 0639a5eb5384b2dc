//! What only a server on the other side of a wire can do to us.

use std::{sync::Arc, time::Instant};

use cardea_core::log::ChainKey;
use cardea_store::{Commit, CommitError, Db, DbConfig, db::args};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::engines::{KEY, Server, count, place};

pub(crate) async fn own_contracts(server: &Server) {
    a_server_that_comes_back_is_used_again(server).await;
    a_lost_acknowledgement_is_unknown_and_can_be_read_again(server).await;
}

fn thing(id: &'static str) -> Commit {
    Commit::new().insert("things", [("id", id.into())])
}

async fn a_server_that_comes_back_is_used_again(server: &Server) {
    let place = place(server);
    let db = place.open().await;
    db.commit(thing("before")).await.unwrap();
    server.down().unwrap();
    let start = Instant::now();
    assert!(matches!(db.commit(thing("lost")).await, Err(CommitError::Unavailable(_))));
    assert!(db.rows::<(String,)>("SELECT id FROM things", args![]).await.is_err());
    assert!(start.elapsed().as_secs() < 2, "a refusal must be quick: {:?}", start.elapsed());
    server.up().unwrap();
    db.commit(thing("after")).await.unwrap();
    assert_eq!(count(&db).await, 2);
}

/// A wire that is cut after `COMMIT` has reached the server and before its answer comes back.
async fn a_lost_acknowledgement_is_unknown_and_can_be_read_again(server: &Server) {
    let place = place(server);
    let direct = place.open().await;
    let wire = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = place.url.replace(&server.port().to_string(), &wire.local_addr().unwrap().port().to_string());
    let port = server.port();
    let run = async {
        // Only the writer's connection carries a `COMMIT`; others are passed through.
        futures::future::join_all((0..8).map(|_| async {
            if let Ok((client, _)) = wire.accept().await {
                cut_at_commit(client, TcpStream::connect(("127.0.0.1", port)).await.unwrap()).await;
            }
        }))
        .await;
    };
    let test = async {
        let db = Db::open(DbConfig::at(url), ChainKey::new(&KEY)).await.unwrap();
        let audited =
            thing("maybe").audit(&"acme".into(), cardea_core::time::Timestamp(0), b"maybe".to_vec());
        assert!(matches!(db.commit(audited).await, Err(CommitError::Unknown(_))));
        let found = db.row::<(String,)>("SELECT id FROM things WHERE id = $1", args!["maybe"]).await.unwrap();
        assert_eq!(found, Some(("maybe".into(),)), "the server had committed");
    };
    tokio::select! { _ = run => {}, () = test => {} }
    assert_eq!(crate::contract::chain(&direct).await, ["maybe"]);
}

async fn cut_at_commit(mut client: TcpStream, mut server: TcpStream) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(n @ 1..) = read else { return };
                server.write_all(&up[..n]).await.unwrap();
                if up[..n].windows(6).any(|word| word == b"COMMIT") {
                    // The server has answered once there is something to read: only then is the wire cut.
                    assert_ne!(server.read(&mut down).await.unwrap(), 0);
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(n @ 1..) = read else { return };
                if client.write_all(&down[..n]).await.is_err() { return }
            }
        }
    }
}
