//! The way to PostgreSQL, encrypted and verified, with certificates made here.

use std::{fs, path::Path, process::Command};

use cardea_core::log::ChainKey;
use cardea_store::{Db, DbConfig, db::args};

use crate::engines::{KEY, server};

fn openssl(folder: &Path, args: &str) -> bool {
    let out = Command::new("openssl").args(args.split(' ')).current_dir(folder).output();
    out.is_ok_and(|out| out.status.success())
}

/// An authority, and a certificate of it for `db.example` and `localhost`.
fn certificates(folder: &Path) -> bool {
    fs::write(folder.join("names"), "subjectAltName=DNS:db.example,DNS:localhost\n").unwrap();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    let authority = |name: &str| {
        format!(
            "req -x509 {new} -keyout {name}.key -out {name}.pem -subj /CN={name} -addext basicConstraints=critical,CA:TRUE"
        )
    };
    openssl(folder, &authority("ca"))
        && openssl(folder, &authority("other"))
        && openssl(folder, &format!("req {new} -keyout server.key -out server.csr -subj /CN=db.example"))
        && openssl(
            folder,
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
        )
}

async fn opens(url: &str) -> Result<(), String> {
    let cause = |error: cardea_core::Error| format!("{error}: {}", error.cause_line().unwrap_or_default());
    let db = Db::open(DbConfig::at(url), ChainKey::new(&KEY)).await.map_err(cause)?;
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()";
    let encrypted = db.row::<(i64,)>(sql, args![]).await.map_err(cause)?;
    db.close().await;
    if encrypted == Some((1,)) { Ok(()) } else { Err("in plain".to_owned()) }
}

#[tokio::test]
async fn the_way_to_postgres_is_encrypted_and_the_server_must_be_the_one_that_was_named() {
    let Some(server) = server() else { return };
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    if !certificates(folder) {
        println!("SKIPPED: no `openssl` that makes certificates, so TLS to PostgreSQL is not tested");
        return;
    }
    let port = server.port();
    let plain = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    assert_eq!(opens(&plain).await, Err("in plain".to_owned()), "on this machine nothing is asked for");
    let without = format!("postgres://postgres@localhost:{port}/postgres?sslmode=require");
    let refused = opens(&without).await.unwrap_err();
    assert!(refused.contains("does not support TLS"), "no silent way back to plain: {refused}");

    server.only_encrypted(&folder.join("server.pem"), &folder.join("server.key")).unwrap();
    let (ca, other) = (folder.join("ca.pem"), folder.join("other.pem"));
    let url = |host: &str, more: &str| {
        format!("postgres://postgres@{host}:{port}/postgres?hostaddr=127.0.0.1{more}")
    };
    let (ca, other) = (format!("&sslrootcert={}", ca.display()), format!("&sslrootcert={}", other.display()));
    for good in [
        url("db.example", &ca),
        url("db.example", &format!("&sslmode=verify-full{ca}")),
        url("localhost", &format!("&sslmode=verify-full{ca}")),
        url("anybody.example", "&sslmode=require"),
    ] {
        assert_eq!(opens(&good).await, Ok(()), "{good}");
    }
    for (bad, why) in [
        (url("evil.example", &ca), "not valid for name"),
        (url("db.example", &other), "UnknownIssuer"),
        (url("db.example", ""), "UnknownIssuer"),
        (url("127.0.0.1", &format!("&sslmode=verify-full{ca}")), "not valid for name"),
        (plain, "pg_hba.conf"),
    ] {
        let refused = opens(&bad).await.unwrap_err();
        assert!(refused.contains(why), "{bad}: {refused}");
    }
}
