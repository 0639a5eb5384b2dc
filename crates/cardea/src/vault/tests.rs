use std::sync::Arc;

use cardea_core::{
    cost::Prices,
    time::{ManualClock, Timestamp},
};
use cardea_store::{DbConfig, Value, args};
use proptest::prelude::*;

use super::*;

const A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const B: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn root(keys: &[&str]) -> RootKey {
    let (newest, older) = keys.split_last().unwrap();
    let config = Config {
        root_key: Some((*newest).into()),
        old_root_keys: older.iter().map(|key| (*key).into()).collect(),
    };
    RootKey::load(&config, Path::new("/nowhere")).unwrap()
}

async fn database() -> Db {
    let db = Db::open(DbConfig::at("sqlite::memory:"), root(&[A]).chain_key()).await.unwrap();
    db.migrate().await.unwrap();
    db
}

async fn vault(db: &Db, root: RootKey) -> Vault {
    let clock: SharedClock = ManualClock::at(Timestamp(1_800_000_000_000));
    Vault::new(db.clone(), Observe::new(db.clone(), Arc::clone(&clock), Prices::default()), root, clock).await
}

async fn change(db: &Db, sql: &'static str, args: Vec<Value>) {
    db.commit(Commit::new().run(sql, args)).await.unwrap();
}

async fn audited(db: &Db, event: &str) -> usize {
    let bodies: Vec<(Vec<u8>,)> = db.rows("SELECT body FROM audit", args![]).await.unwrap();
    bodies.iter().filter(|(body,)| String::from_utf8_lossy(body).contains(event)).count()
}

#[tokio::test]
async fn a_secret_opens_for_its_owner_under_its_name_and_is_nowhere_in_plain() {
    let db = database().await;
    let vault = vault(&db, root(&[A])).await;
    let (acme, other) = (TenantId::from("acme"), TenantId::from("other"));
    let id = vault.seal(&acme, "upstream/ops", b"MARKER-one").await.unwrap();
    assert_eq!(vault.open(&acme, "upstream/ops").await.unwrap().unwrap().as_slice(), b"MARKER-one");
    assert_eq!(vault.seal(&acme, "upstream/ops", b"MARKER-two").await.unwrap(), id, "replaced, not doubled");
    assert_eq!(vault.open(&acme, "upstream/ops").await.unwrap().unwrap().as_slice(), b"MARKER-two");
    assert!(vault.open(&other, "upstream/ops").await.unwrap().is_none());
    assert!(vault.open(&acme, "upstream/other").await.unwrap().is_none());
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        db.rows("SELECT sealed, wrapped_key FROM secrets", args![]).await.unwrap();
    let bodies: Vec<(Vec<u8>,)> = db.rows("SELECT body FROM audit", args![]).await.unwrap();
    let all = [rows.concat_all(), bodies.into_iter().flat_map(|(body,)| body).collect()].concat();
    assert!(!String::from_utf8_lossy(&all).contains("MARKER"));

    assert!(vault.shred(&acme, "upstream/ops").await.unwrap());
    assert!(!vault.shred(&acme, "upstream/ops").await.unwrap());
    assert!(vault.open(&acme, "upstream/ops").await.unwrap().is_none());
    assert_eq!(audited(&db, "secret.shredded").await, 1);
}

trait ConcatAll {
    fn concat_all(self) -> Vec<u8>;
}

impl ConcatAll for Vec<(Vec<u8>, Vec<u8>)> {
    fn concat_all(self) -> Vec<u8> {
        self.into_iter().flat_map(|(a, b)| [a, b].concat()).collect()
    }
}

#[tokio::test]
async fn rows_that_were_swapped_moved_or_renamed_in_the_database_do_not_open() {
    let (ann, bob) = (TenantId::from("ann-co"), TenantId::from("bob-co"));
    for (number, tamper) in [
        "UPDATE secrets SET sealed = (SELECT o.sealed FROM secrets o WHERE o.tenant <> secrets.tenant)",
        "UPDATE secrets SET wrapped_key = (SELECT o.wrapped_key FROM secrets o WHERE o.tenant <> secrets.tenant)",
        "UPDATE secrets SET sealed = (SELECT o.sealed FROM secrets o WHERE o.tenant <> secrets.tenant),
            wrapped_key = (SELECT o.wrapped_key FROM secrets o WHERE o.tenant <> secrets.tenant)",
        "UPDATE secrets SET tenant = CASE tenant WHEN 'ann-co' THEN 'bob-co/' ELSE 'ann-co' END",
        "UPDATE secrets SET version = version + 1",
        "UPDATE secrets SET id = 'sec_' || substr('0123456789abcdef0123456789abcdef', 1, 31) || length(tenant)",
        "UPDATE secrets SET key_id = 'ffffffffffffffff'",
        "UPDATE secrets SET sealed = x''",
    ]
    .into_iter()
    .enumerate()
    {
        let db = database().await;
        let vault = vault(&db, root(&[A])).await;
        vault.seal(&ann, "token", b"of ann").await.unwrap();
        vault.seal(&bob, "token", b"of bob").await.unwrap();
        if number == 5 {
            change(&db, "DELETE FROM secrets WHERE tenant = 'bob-co'", args![]).await;
        }
        change(&db, tamper, args![]).await;
        let opened = vault.open(&ann, "token").await;
        assert!(opened.is_err(), "{tamper}: {opened:?}");
        assert_eq!(audited(&db, "secret.refused").await, 1, "an alarm: {tamper}");
    }
}

#[tokio::test]
async fn a_secret_that_does_not_open_is_told_of_once_until_it_opens_again() {
    let db = database().await;
    let vault = vault(&db, root(&[A])).await;
    let acme = TenantId::from("acme");
    vault.seal(&acme, "one", b"1").await.unwrap();
    vault.seal(&acme, "two", b"2").await.unwrap();
    for round in 1..=2 {
        change(&db, "UPDATE secrets SET key_id = key_id || '0'", args![]).await;
        change(&db, "ALTER TABLE audit RENAME TO away", args![]).await;
        let unwritten = vault.open(&acme, "one").await.unwrap_err();
        assert!(format!("{unwritten:?}").contains("audit"), "nobody was told: {unwritten:?}");
        change(&db, "ALTER TABLE away RENAME TO audit", args![]).await;
        let tries = futures::future::join_all((0..5).map(|_| vault.open(&acme, "one"))).await;
        assert!(tries.iter().all(Result::is_err) && vault.open(&acme, "one").await.is_err());
        assert_eq!(audited(&db, "secret.refused").await, 2 * round - 1);
        assert!(vault.open(&acme, "two").await.is_err());
        assert_eq!(audited(&db, "secret.refused").await, 2 * round);
        change(&db, "UPDATE secrets SET key_id = substr(key_id, 1, length(key_id) - 1)", args![]).await;
        assert!(vault.open(&acme, "one").await.unwrap().is_some());
        assert!(vault.open(&acme, "two").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_rotated_root_key_opens_the_old_and_then_alone_what_was_wrapped_anew() {
    let db = database().await;
    let tenant = TenantId::from("acme");
    let before = vault(&db, root(&[A])).await;
    for n in 0..250 {
        before.seal(&tenant, &format!("s{n}"), format!("secret {n}").as_bytes()).await.unwrap();
    }
    assert!(
        vault(&db, root(&[B])).await.open(&tenant, "s7").await.is_err(),
        "the wrong root key opens nothing"
    );
    let between = vault(&db, root(&[A, B])).await;
    assert_eq!(between.open(&tenant, "s7").await.unwrap().unwrap().as_slice(), b"secret 7");
    let done = |wrapped| Rotated { wrapped, keyless: 0 };
    assert_eq!(between.rotate().await.unwrap(), done(250));
    assert_eq!(between.rotate().await.unwrap(), done(0));
    let after = vault(&db, root(&[B])).await;
    for n in 0..250 {
        let opened = after.open(&tenant, &format!("s{n}")).await.unwrap().unwrap();
        assert_eq!(opened.as_slice(), format!("secret {n}").as_bytes());
    }
    assert!(before.open(&tenant, "s7").await.is_err());
}

#[tokio::test]
async fn two_nodes_that_make_the_same_secret_at_once_agree_on_one() {
    let db = database().await;
    let (a, b) = (vault(&db, root(&[A])).await, vault(&db, root(&[A])).await);
    let tenant = TenantId::from("cardea");
    let make = |text: &'static str| move || Ok(Zeroizing::new(text.as_bytes().to_vec()));
    let (first, second) =
        futures::join!(a.open_or_make(&tenant, "k", make("one")), b.open_or_make(&tenant, "k", make("two")));
    assert_eq!(first.unwrap(), second.unwrap());
}

#[cfg(unix)]
#[test]
fn the_root_key_in_the_data_folder_is_made_once_and_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = RootKey::load(&Config::default(), &data).unwrap();
    assert_eq!(RootKey::load(&Config::default(), &data).unwrap().id(), first.id());
    let path = data.join("root.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1, "no draft stays behind");

    let rotated = RootKey::rotate_file(&data).unwrap();
    assert_ne!(rotated.id(), first.id());
    let again = RootKey::load(&Config::default(), &data).unwrap();
    assert_eq!(again.id(), rotated.id());
    assert!(again.wrapping(first.id(), b"x").is_some());
    // A node that was not restarted yet opens what another one has sealed under the new key.
    let opens = |root: &RootKey| root.wrapping(rotated.id(), b"x").map(|key| key.to_vec());
    assert!(opens(&first).is_some() && opens(&first) == opens(&again));
    assert!(first.wrapping("0000", b"x").is_none());
    let head = |root: &RootKey| cardea_core::log::Head::default().append(&root.chain_key(), b"entry").link;
    assert_eq!(head(&first), head(&again), "the audit chain goes on with its key");

    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| RootKey::rotate_file(&data).unwrap());
        }
    });
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept.lines().count(), 6, "keys that are added at once are all kept");

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = RootKey::load(&Config::default(), &data).unwrap_err();
    assert_eq!(error.code(), Code::Misconfigured);
    assert!(error.public().contains("chmod 600"), "{}", error.public());
    let short = Config { root_key: Some("c2hvcnQ=".into()), ..Config::default() };
    assert!(RootKey::load(&short, &data).is_err());
}

#[cfg(unix)]
#[test]
fn a_key_that_root_adds_stays_the_services_own() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key");
    drop(RootKey::load(&Config::default(), dir.path()).unwrap());
    if chown(&path, Some(65_534), Some(65_533)).is_err() {
        println!("SKIPPED: only root gives files away");
        return;
    }
    drop(RootKey::rotate_file(dir.path()).unwrap());
    for name in ["root.key", "root.key.lock"] {
        let facts = std::fs::metadata(dir.path().join(name)).unwrap();
        assert_eq!((facts.uid(), facts.gid()), (65_534, 65_533), "{name}");
    }
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn a_file_whose_last_key_has_no_line_of_its_own_end_takes_another() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key");
    std::fs::write(&path, A).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let first = RootKey::load(&Config::default(), dir.path()).unwrap();
    let rotated = RootKey::rotate_file(dir.path()).unwrap();
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!((kept.lines().next(), kept.lines().count()), (Some(A), 2));
    let again = RootKey::load(&Config::default(), dir.path()).unwrap();
    assert_eq!((again.id(), again.first_id()), (rotated.id(), first.id()));
}

proptest! {
    #[test]
    fn no_single_changed_bit_of_a_sealed_row_opens(secret in proptest::collection::vec(any::<u8>(), 0..80), at: usize, bit in 0_u8..8) {
        let (root, tenant) = (root(&[A]), TenantId::from("acme"));
        let bound =
            Bound { tenant: &tenant, id: SecretId::from_bits(7), name: "n", version: 1, person: None };
        let mut row = seal::seal(&root, &bound, &secret).unwrap();
        let opened = seal::open(&root, &bound, &row).unwrap();
        prop_assert_eq!(opened.as_slice(), secret.as_slice());
        let whole = row.wrapped_key.len() + row.sealed.len();
        let at = at % whole;
        if at < row.wrapped_key.len() {
            row.wrapped_key[at] ^= 1 << bit;
        } else {
            let at = at - row.wrapped_key.len();
            row.sealed[at] ^= 1 << bit;
        }
        prop_assert!(seal::open(&root, &bound, &row).is_none());
    }
}

#[tokio::test]
async fn i07_nothing_of_an_erased_person_opens_from_yesterdays_backup() {
    type Backup = (String, String, String, i64, String, Vec<u8>, Vec<u8>, Option<String>);
    let all =
        "SELECT id, tenant, name, version, key_id, wrapped_key, sealed, person FROM secrets ORDER BY id";
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    let config = || Config { root_key: Some(A.into()), old_root_keys: Vec::new() };
    let vault = vault(&db, RootKey::load(&config(), folder.path()).unwrap()).await;
    let (acme, other) = (TenantId::from("acme"), TenantId::from("other"));
    vault.seal_for(&acme, "ann", "connector/mail/user/ann", b"MARKER-ann").await.unwrap();
    vault.seal_for(&acme, "bob", "connector/mail/user/bob", b"MARKER-bob").await.unwrap();
    vault.seal_for(&other, "ann of other", "connector/mail/user/ann", b"MARKER-other").await.unwrap();
    vault.seal(&acme, "connector/mail", b"MARKER-acme").await.unwrap();
    let who = Principal::installation(acme.clone());
    let (rows, _) = vault.keeping(&who, "placeholders/1", None, b"MARKER-names").await.unwrap();
    db.commit(rows).await.unwrap();
    let yesterday: Vec<Backup> = db.rows(all, args![]).await.unwrap();

    for _ in 0..2 {
        // Twice is as good as once.
        db.commit(vault.destroy_person(&acme, "ann").await.unwrap()).await.unwrap();
        db.commit(vault.destroy_person(&acme, &who.key()).await.unwrap()).await.unwrap();
    }
    assert_eq!(vault.open(&acme, "connector/mail/user/ann").await.unwrap(), None);

    change(&db, "DELETE FROM secrets", args![]).await;
    for (id, tenant, name, version, key_id, wrapped, sealed, person) in yesterday {
        change(
            &db,
            "INSERT INTO secrets (id, tenant, name, version, key_id, wrapped_key, sealed, person, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)",
            args![id, tenant, name, version, key_id, wrapped, sealed, person],
        )
        .await;
    }
    // Whatever is tried with the root key and the whole of the old database, also after she came back.
    for _ in 0..2 {
        assert!(vault.open(&acme, "connector/mail/user/ann").await.is_err());
        assert!(vault.open(&acme, "placeholders/1").await.is_err());
        vault.seal_for(&acme, "ann", "connector/new/user/ann", b"MARKER-new").await.unwrap();
    }
    change(&db, "UPDATE secrets SET person = NULL WHERE name = 'placeholders/1'", args![]).await;
    assert!(vault.open(&acme, "placeholders/1").await.is_err(), "nor as if it were nobody's");
    for (tenant, name, secret) in [
        (&acme, "connector/mail/user/bob", "MARKER-bob"),
        (&other, "connector/mail/user/ann", "MARKER-other"),
        (&acme, "connector/mail", "MARKER-acme"),
        (&acme, "connector/new/user/ann", "MARKER-new"),
    ] {
        assert_eq!(vault.open(tenant, name).await.unwrap().unwrap().as_slice(), secret.as_bytes());
    }
    assert_eq!(audited(&db, "secret.refused").await, 4, "each once without the key, and once with another");
    let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777;
    let people = folder.path().join("people");
    let files: Vec<_> = std::fs::read_dir(&people).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!((mode(&people), files.len()), (0o700, 3));
    assert!(files.iter().all(|file| mode(file) == 0o600));
}

#[tokio::test]
async fn a_rotation_leaves_what_is_sealed_for_people_whose_key_is_not_there() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    let root = |older: &[&str], newest: &str| {
        let old_root_keys = older.iter().map(|key| (*key).into()).collect();
        RootKey::load(&Config { root_key: Some(newest.into()), old_root_keys }, folder.path()).unwrap()
    };
    let before = vault(&db, root(&[], A)).await;
    let acme = TenantId::from("acme");
    for n in 0..120 {
        before.seal_for(&acme, "ann", &format!("of ann {n}"), b"MARKER-ann").await.unwrap();
    }
    before.seal_for(&acme, "bob", "of bob", b"MARKER-bob").await.unwrap();
    before.seal(&acme, "of nobody", b"MARKER-acme").await.unwrap();
    drop(before.destroy_person(&acme, "bob").await.unwrap()); // the row stays, as if it came back from a backup

    let (people, away) = (folder.path().join("people"), folder.path().join("away"));
    std::fs::rename(&people, &away).unwrap();
    let between = vault(&db, root(&[A], B)).await;
    assert_eq!(between.rotate().await.unwrap(), Rotated { wrapped: 1, keyless: 121 });
    std::fs::rename(&away, &people).unwrap();
    assert_eq!(between.rotate().await.unwrap(), Rotated { wrapped: 120, keyless: 1 });
    let after = vault(&db, root(&[], B)).await;
    for n in 0..120 {
        let opened = after.open(&acme, &format!("of ann {n}")).await.unwrap().unwrap();
        assert_eq!(opened.as_slice(), b"MARKER-ann");
    }
    assert!(
        after.open(&acme, "of bob").await.is_err(),
        "nobody opens it, and nobody is told that it never was"
    );
    db.commit(after.destroy_person(&acme, "bob").await.unwrap()).await.unwrap();
    assert_eq!(after.open(&acme, "of bob").await.unwrap(), None, "erasing takes it away");
}

#[tokio::test]
async fn a_folder_of_keys_that_is_gone_is_neither_empty_nor_made_anew() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    folder_id_or_new(folder.path()).await.unwrap();
    let config = Config { root_key: Some(A.into()), old_root_keys: Vec::new() };
    let vault = vault(&db, RootKey::load(&config, folder.path()).unwrap()).await;
    let acme = TenantId::from("acme");
    vault.seal_for(&acme, "ann", "of ann", b"MARKER-ann").await.unwrap();

    let (people, away) = (folder.path().join("people"), folder.path().join("away"));
    std::fs::rename(&people, &away).unwrap();
    for replaced in [false, true] {
        if replaced {
            std::fs::create_dir(&people).unwrap(); // as the place of a mount that is away
        }
        let erased = vault.destroy_person(&acme, "ann").await.unwrap_err();
        assert_eq!(erased.code(), Code::StoreUnavailable, "{erased:?}");
        let sealed = vault.seal_for(&acme, "bob", "of bob", b"MARKER-bob").await.unwrap_err();
        assert_eq!(sealed.code(), Code::StoreUnavailable, "{sealed:?}");
        assert!(!sealed.public().contains("people`"), "where it lies is for the log: {}", sealed.public());
        assert!(vault.open(&acme, "of ann").await.is_err());
        assert_eq!(people.exists(), replaced);
    }
    assert_eq!(std::fs::read_dir(&people).unwrap().count(), 0);
    std::fs::remove_dir(&people).unwrap();
    std::fs::rename(&away, &people).unwrap();
    assert_eq!(vault.open(&acme, "of ann").await.unwrap().unwrap().as_slice(), b"MARKER-ann");
    vault.seal_for(&acme, "bob", "of bob", b"MARKER-bob").await.unwrap();
    db.commit(vault.destroy_person(&acme, "ann").await.unwrap()).await.unwrap();
    assert_eq!(vault.open(&acme, "of ann").await.unwrap(), None);
}

#[tokio::test]
async fn a_disk_of_keys_that_hangs_holds_up_nobody_who_needs_none_of_them() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    let config = Config { root_key: Some(A.into()), old_root_keys: Vec::new() };
    let vault = vault(&db, RootKey::load(&config, folder.path()).unwrap()).await;
    let acme = TenantId::from("acme");
    vault.seal_for(&acme, "ann", "of ann", b"MARKER-ann").await.unwrap();
    vault.seal(&acme, "of nobody", b"MARKER-acme").await.unwrap();

    // A pipe is read for as long as its other end is open.
    let key = folder.path().join("people").join(people::id_of_owner("ann"));
    let bytes = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&key).status().unwrap().success());
    let (entered, mut reads) = tokio::sync::oneshot::channel();
    let (answers, answered) = std::sync::mpsc::channel();
    let disk = std::thread::spawn(move || {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(key).unwrap();
        entered.send(()).unwrap();
        let _told = answered.recv_timeout(people::PATIENCE / 2);
        std::io::Write::write_all(&mut pipe, &bytes).unwrap();
    });
    let mut stuck = std::pin::pin!(vault.open(&acme, "of ann"));
    tokio::select! {
        early = &mut stuck => panic!("nobody else was served meanwhile: {early:?}"),
        entered = &mut reads => entered.unwrap(),
    }
    assert_eq!(vault.open(&acme, "of nobody").await.unwrap().unwrap().as_slice(), b"MARKER-acme");
    answers.send(()).unwrap();
    assert_eq!(stuck.await.unwrap().unwrap().as_slice(), b"MARKER-ann");
    disk.join().unwrap();
}

#[tokio::test]
async fn a_disk_of_keys_that_hangs_at_the_start_is_told_of_and_no_other_folder_stands_in_for_it() {
    let (db, folder) = (database().await, tempfile::tempdir().unwrap());
    let id = folder.path().join("people").join("folder.id");
    std::fs::create_dir(id.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&id).status().unwrap().success());
    let (ends, ended) = std::sync::mpsc::channel::<()>();
    let disk = std::thread::spawn(move || {
        let _told = ended.recv_timeout(people::PATIENCE * 4);
        let _pipe = std::fs::OpenOptions::new().read(true).write(true).open(&id).unwrap();
        std::fs::remove_file(&id).unwrap(); // who still reads it finds it empty
    });
    let config = Config { root_key: Some(A.into()), old_root_keys: Vec::new() };
    let root = RootKey::load(&config, folder.path()).unwrap();
    let (found, vault) = tokio::join!(folder_id(folder.path()), vault(&db, root));
    assert_eq!(found.unwrap_err().code(), Code::StoreUnavailable);
    drop(ends);
    disk.join().unwrap();
    let sealed = vault.seal_for(&"acme".into(), "ann", "of ann", b"MARKER-ann").await.unwrap_err();
    assert_eq!(sealed.code(), Code::StoreUnavailable, "{sealed:?}");
}
