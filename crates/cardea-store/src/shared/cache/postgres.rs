//! Records in PostgreSQL, in unlogged tables: a crash of the server empties them, all together.
//!
//! With the extension `vector` the server orders the records of one place by distance (a B-tree finds the place, and
//! the order within it is exact; a place of more than [`LARGE`] records gets an HNSW index of its own). Without it the
//! vectors of the place are read and compared here.

mod index;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cardea_core::{
    canonical::hex,
    secret::{ExposeSecret, SecretString},
    time::SharedClock,
};
use cardea_embed::{Partition, Vector};
use futures::FutureExt;
use tokio::sync::Mutex as AsyncMutex;
use tokio_postgres::{Row, types::ToSql};

use self::index::{Tries, make};
use super::{Answer, Away, CacheStore, Held, Key, LONGEST, PATIENCE, Place, Record, Tag, wire::Wire};
use crate::db::{
    address::Address,
    postgres::{Fault, Link, Session},
};

/// Number of vectors beyond which a place gets an index of its own.
const LARGE: i64 = 20_000;
/// Limit of such indexes, of all nodes.
const INDEXES: i64 = 32;
/// Prefix of their names; the first twelve bytes of the place follow.
const INDEX: &str = "cardea_cache_hnsw_";
/// Time limit of a removal, which visits every record, unless the patience of a question is longer. The server
/// enforces it as well.
const THOROUGH: Duration = Duration::from_secs(5);
/// Number of puts after which records are tidied up.
const TIDY: u64 = 64;

/// Whether there are all tables, the extension, and the column that needs it.
const THERE: &str = "SELECT to_regclass('cardea_cache') IS NOT NULL AND to_regclass('cardea_cache_put') IS NOT NULL \
    AND to_regclass('cardea_cache_marks') IS NOT NULL AND to_regclass('cardea_cache_clock') IS NOT NULL, \
    EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector'), \
    EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('cardea_cache') AND attname = 'vec' \
    AND NOT attisdropped)";
/// Begins each change of them. Two nodes that start at once must not both create them. What waits for a lock on a table
/// lets nobody past, so it does not wait for long.
const ALONE: &str = "SELECT pg_advisory_xact_lock(7230114); SET LOCAL lock_timeout = 200;";
const TABLES: &str = "
CREATE UNLOGGED TABLE IF NOT EXISTS cardea_cache (
    place BYTEA NOT NULL, key BYTEA NOT NULL, until BIGINT NOT NULL, asked_at BIGINT NOT NULL,
    tags BYTEA[] NOT NULL, record BYTEA NOT NULL, code BYTEA, put BIGINT GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (place, key));
CREATE INDEX IF NOT EXISTS cardea_cache_put ON cardea_cache (put);
CREATE UNLOGGED TABLE IF NOT EXISTS cardea_cache_marks (
    tag BYTEA NOT NULL PRIMARY KEY, at BIGINT NOT NULL, since BIGINT NOT NULL);
CREATE SEQUENCE IF NOT EXISTS cardea_cache_clock;";

const COUNT: &str = "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END, \
    EXISTS (SELECT 1 FROM cardea_cache_marks WHERE tag = ''::bytea) FROM cardea_cache_clock";
// The mark without a tag is the count at which the marks began. A crash of the server empties the tables but keeps the
// count, and clearings before it are then unknown.
const BORN: &str = "INSERT INTO cardea_cache_marks (tag, at, since) VALUES (''::bytea, nextval('cardea_cache_clock'), \
    9223372036854775807) ON CONFLICT (tag) DO NOTHING";
// INVARIANT: without that mark nothing is fresh.
const FRESH: &str = "until > $2 AND asked_at >= (SELECT b.at FROM cardea_cache_marks b WHERE b.tag = ''::bytea) \
    AND NOT EXISTS (SELECT 1 FROM cardea_cache_marks m WHERE m.tag = ANY(tags) AND m.at > asked_at)";
const PUT: &str = "INSERT INTO cardea_cache (place, key, until, asked_at, tags, record, code) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (place, key) DO UPDATE SET until = excluded.until, asked_at = excluded.asked_at, \
    tags = excluded.tags, record = excluded.record, code = excluded.code, put = DEFAULT";
const PUT_VECTOR: &str = "INSERT INTO cardea_cache (place, key, until, asked_at, tags, record, code, vec) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::vector) \
    ON CONFLICT (place, key) DO UPDATE SET until = excluded.until, asked_at = excluded.asked_at, \
    tags = excluded.tags, record = excluded.record, code = excluded.code, vec = excluded.vec, \
    put = DEFAULT";
const MARK: &str = "WITH t AS (SELECT nextval('cardea_cache_clock') AS at)
    INSERT INTO cardea_cache_marks (tag, at, since) SELECT tag, t.at, $2 FROM t, unnest($1::bytea[]) AS tag
    ON CONFLICT (tag) DO UPDATE SET at = GREATEST(cardea_cache_marks.at, excluded.at), since = excluded.since";

/// [`CacheStore`] in a PostgreSQL database.
pub struct PostgresCache {
    link: Arc<Link>,
    wire: Wire,
    clock: SharedClock,
    limits: (u64, usize),
    above: i64,
    /// Whether the server has the extension; determined when the tables are created.
    vectors: AsyncMutex<Option<bool>>,
    large: Mutex<HashMap<Place, Tries>>,
    puts: AtomicU64,
}

impl std::fmt::Debug for PostgresCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresCache").field("limits", &self.limits).finish_non_exhaustive()
    }
}

type Args<'a> = &'a [&'a (dyn ToSql + Sync)];

impl PostgresCache {
    /// Sets the number of vectors beyond which a place gets an index of its own: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn index_above(mut self, vectors: u32) -> Self {
        self.above = i64::from(vectors);
        self
    }

    /// Sets how long to wait for the server, instead of [`PATIENCE`].
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.wire = Wire::new(patience);
        self
    }

    /// Creates a store in this database with limits of bytes, and of vectors in one place. Does not connect yet.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the address.
    pub fn new(
        url: &str,
        password: Option<&SecretString>,
        bytes: u64,
        per_place: usize,
        clock: SharedClock,
    ) -> Result<Self, String> {
        let mut address = Address::parse(url)?;
        if address.config.get_password().is_some() {
            return Err(
                "contains a password: put it into `cache.password`, since the address is printed".to_owned()
            );
        }
        if let Some(password) = password {
            address.config.password(password.expose_secret());
        }
        address.config.application_name("cardea cache").options("-c statement_timeout=5000");
        Ok(Self {
            link: Arc::new(Link::to(address)?),
            wire: Wire::new(PATIENCE),
            clock,
            limits: (bytes, per_place.max(1)),
            above: LARGE,
            vectors: AsyncMutex::new(None),
            large: Mutex::default(),
            puts: AtomicU64::new(0),
        })
    }

    /// Returns whether the server compares vectors; otherwise that is done here.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn vectors(&self) -> Result<bool, Away> {
        self.wire.ask(async { self.session().await.map(|(_, vectors)| vectors) }).await
    }

    async fn session(&self) -> Result<(Arc<Session>, bool), Away> {
        let session = self.link.session().await.map_err(|fault| told(&fault))?;
        let mut vectors = self.vectors.lock().await;
        let known = match *vectors {
            Some(known) => known,
            None => *vectors.insert(self.prepare(&session).await?),
        };
        Ok((session, known))
    }

    /// Creates the tables; returns whether the server compares vectors.
    ///
    /// INVARIANT: what exists is not created again. `IF NOT EXISTS` locks the table before it looks, and so waits for a
    /// backup or for an index that is being built, and all other nodes behind it.
    async fn prepare(&self, session: &Session) -> Result<bool, Away> {
        let [tables, vectors, column] = there(session).await?;
        if tables && vectors && column {
            return Ok(true);
        }
        if !tables {
            session.script(&format!("{ALONE} {TABLES}")).await.map_err(|fault| told(&fault))?;
        }
        // Without the right or the files the extension is missing, and vectors are compared here.
        let _absent = session.script("CREATE EXTENSION IF NOT EXISTS vector").await;
        let [_, vectors, column] = there(session).await?;
        if vectors && !column {
            let add = format!("{ALONE} ALTER TABLE cardea_cache ADD COLUMN IF NOT EXISTS vec vector(384)");
            session.script(&add).await.map_err(|fault| told(&fault))?;
        }
        Ok(vectors)
    }

    async fn rows(&self, sql: &str, args: Args<'_>) -> Result<Vec<Row>, Away> {
        let (session, _) = self.session().await?;
        let found = session.query(sql, args).await;
        match found {
            Err(fault) if fault.lost => {
                self.link.forget(&session).await;
                Err(told(&fault))
            }
            Err(fault) => {
                // The tables may be gone: check again next time.
                *self.vectors.lock().await = None;
                Err(told(&fault))
            }
            Ok(rows) => Ok(rows),
        }
    }

    async fn find(&self, place: &Place, key: &Key) -> Result<Option<Record>, Away> {
        let sql = format!("SELECT record FROM cardea_cache WHERE place = $1 AND key = $3 AND {FRESH}");
        let rows = self.rows(&sql, &[&place.0.as_slice(), &self.clock.now().0, &key.0.as_slice()]).await?;
        Ok(rows.first().and_then(|row| Record::from_bytes(row.get(0))))
    }

    async fn nearest(&self, place: &Place, to: &Vector, count: usize) -> Result<Vec<(Key, Record)>, Away> {
        let (_, vectors) = self.session().await?;
        let now = self.clock.now().0;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = if vectors {
            let large = self.large.lock().unwrap_or_else(PoisonError::into_inner).contains_key(place);
            // The planner uses an index of one place only if the place is in the text; it is a digest made here.
            let here = if large {
                format!("place = '\\x{place}'::bytea AND $1::bytea IS NOT NULL")
            } else {
                "place = $1".to_owned()
            };
            let sql = format!(
                "SELECT key, record FROM cardea_cache WHERE {here} AND vec IS NOT NULL AND {FRESH} ORDER BY vec <=> $3::text::vector LIMIT $4"
            );
            self.rows(&sql, &[&place.0.as_slice(), &now, &spelled(to), &count]).await?
        } else {
            let sql =
                "SELECT key, code FROM cardea_cache WHERE place = $1 AND code IS NOT NULL AND until > $2";
            let mut shelf = Partition::new();
            for row in self.rows(sql, &[&place.0.as_slice(), &now]).await? {
                if let (key, Some(vector)) = (row.get::<_, Vec<u8>>(0), Vector::from_bytes(row.get(1))) {
                    shelf.insert(vector, key);
                }
            }
            let near = shelf.nearest(to, usize::try_from(count).unwrap_or(usize::MAX));
            let keys: Vec<&[u8]> = near.iter().map(|near| near.item.as_slice()).collect();
            let sql = format!(
                "SELECT key, record FROM cardea_cache WHERE place = $1 AND key = ANY($3) AND {FRESH}"
            );
            let mut rows = self.rows(&sql, &[&place.0.as_slice(), &now, &keys]).await?;
            rows.sort_by_key(|row| keys.iter().position(|key| *key == row.get::<_, &[u8]>(0)));
            rows
        };
        let record =
            |row: &Row| Some((Key(row.get::<_, &[u8]>(0).try_into().ok()?), Record::from_bytes(row.get(1))?));
        Ok(rows.iter().filter_map(record).collect())
    }

    async fn write(&self, place: &Place, key: &Key, record: Record) -> Result<(), Away> {
        let Some(bytes) = record.to_bytes() else { return Ok(()) };
        let (_, vectors) = self.session().await?;
        let tags: Vec<&[u8]> = record.tags.iter().map(|tag| tag.0.as_slice()).collect();
        let asked_at = i64::try_from(record.asked_at).unwrap_or(i64::MAX);
        let code = record.vector.as_ref().map(|vector| vector.to_bytes().to_vec());
        let until = record.until.0.min(self.clock.now().plus(LONGEST).0);
        let (place_bytes, key_bytes) = (place.0.as_slice(), key.0.as_slice());
        if vectors {
            let vector = record.vector.as_ref().map(spelled);
            let args: Args<'_> =
                &[&place_bytes, &key_bytes, &until, &asked_at, &tags, &bytes, &code, &vector];
            self.rows(PUT_VECTOR, args).await?;
        } else {
            self.rows(PUT, &[&place_bytes, &key_bytes, &until, &asked_at, &tags, &bytes, &code]).await?;
        }
        if self.puts.fetch_add(1, Ordering::Relaxed) % TIDY == TIDY - 1 {
            self.tidy(place);
            if vectors {
                self.index(place).await?;
            }
        }
        Ok(())
    }

    /// Enforces the limits: removes expired records, then the oldest of the place, then the oldest of all. In the
    /// background, and only once at a time, so that no question waits for it.
    fn tidy(&self, place: &Place) {
        let now = self.clock.now().0;
        let old = now.saturating_sub(i64::try_from(LONGEST.0).unwrap_or(0));
        let (bytes, most) = self.limits;
        // The text contains only numbers and a digest made here.
        let bounds = format!(
            "DO $$ BEGIN IF pg_try_advisory_xact_lock(7230115) THEN
             DELETE FROM cardea_cache WHERE until <= {now};
             DELETE FROM cardea_cache_marks WHERE since < {old};
             DELETE FROM cardea_cache WHERE (place, key) IN (SELECT place, key FROM cardea_cache
               WHERE place = '\\x{place}' AND code IS NOT NULL ORDER BY put DESC OFFSET {most});
             DELETE FROM cardea_cache WHERE put < (SELECT MIN(put) FROM (SELECT put,
               SUM(octet_length(record) + 512) OVER (ORDER BY put DESC) AS held FROM cardea_cache) sums
               WHERE held <= {bytes});
             END IF; END $$"
        );
        // WHY the lock timeout: dropping waits for an index that is being built, and later queries would wait behind
        // it.
        let dropped = format!(
            "SET lock_timeout = 100; DO $$ DECLARE old TEXT; BEGIN
             FOR old IN SELECT indexname FROM pg_indexes
               WHERE schemaname = current_schema() AND tablename = 'cardea_cache' AND indexname LIKE '{INDEX}%' LOOP
               IF NOT EXISTS (SELECT 1 FROM cardea_cache WHERE place
                 BETWEEN decode(rpad(substr(old, {at}), 64, '0'), 'hex') AND decode(rpad(substr(old, {at}), 64, 'f'), 'hex'))
               THEN EXECUTE 'DROP INDEX IF EXISTS ' || quote_ident(old); END IF;
             END LOOP; EXCEPTION WHEN lock_not_available THEN NULL; END $$",
            at = INDEX.len() + 1,
        );
        self.link.later("cache-tidy", async move |session| {
            session.script(&bounds).await?;
            session.script(&dropped).await
        });
    }

    /// Gives the place an index of its own if it is large. The existing indexes are queried each time, since each node
    /// creates and drops them.
    async fn index(&self, place: &Place) -> Result<(), Away> {
        let name = format!("{INDEX}{}", hex(place.0.get(..12).unwrap_or_default()));
        let sql = "SELECT COUNT(*), COUNT(*) FILTER (WHERE c.relname = $2), \
            COUNT(*) FILTER (WHERE c.relname = $2 AND i.indisvalid), \
            (SELECT COUNT(*) FROM cardea_cache WHERE place = $3 AND vec IS NOT NULL), \
            EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                WHERE l.locktype = 'advisory' AND l.objid = 7230116 AND d.datname = current_database()) \
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
            WHERE i.indrelid = 'cardea_cache'::regclass AND c.relname LIKE $1";
        let rows = self.rows(sql, &[&format!("{INDEX}%"), &name, &place.0.as_slice()]).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let [all, here, whole, vectors] = [0, 1, 2, 3].map(|at| row.get::<_, i64>(at));
        let building: bool = row.get(4);
        let wanted = vectors > self.above && (here > 0 || all < INDEXES);
        // WHY a pause: what the server lacks for an index it lacks for a while, and a build costs it a core.
        let due = {
            let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
            if wanted {
                let tries = large.entry(*place).or_insert(Tries::NONE);
                if whole > 0 {
                    *tries = Tries::NONE;
                }
                whole == 0 && !building && tries.begin(self.clock.now())
            } else {
                large.remove(place);
                false
            }
        };
        if due {
            let place = *place;
            self.link.later("cache-index", async move |session| make(&session, &name, &place).await);
        }
        Ok(())
    }

    /// Returns the count of clearings, of marks that have a beginning.
    async fn count(&self) -> Result<u64, Away> {
        let mut rows = self.rows(COUNT, &[]).await?;
        if !rows.first().is_some_and(|row| row.get(1)) {
            self.rows(BORN, &[]).await?;
            rows = self.rows(COUNT, &[]).await?;
        }
        Ok(rows.first().and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok()).unwrap_or(0))
    }

    async fn mark(&self, tags: &[Tag]) -> Result<(), Away> {
        let tags: Vec<&[u8]> = tags.iter().map(|tag| tag.0.as_slice()).collect();
        self.rows(MARK, &[&tags, &self.clock.now().0]).await.map(drop)
    }
}

/// Returns whether there are the tables, the extension, and the column that needs it.
async fn there(session: &Session) -> Result<[bool; 3], Away> {
    let rows = session.query(THERE, &[]).await.map_err(|fault| told(&fault))?;
    Ok(rows.first().map_or([false; 3], |row| [0, 1, 2].map(|at| row.get(at))))
}

fn told(fault: &Fault) -> Away {
    Away(fault.to_string())
}

/// Formats a vector for the extension.
fn spelled(vector: &Vector) -> String {
    let numbers: Vec<String> = vector.codes().iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(","))
}

impl CacheStore for PostgresCache {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn clearings(&self) -> Answer<'_, u64> {
        self.wire.ask(self.count()).boxed()
    }

    fn get<'a>(&'a self, place: &'a Place, key: &'a Key) -> Answer<'a, Option<Record>> {
        self.wire.ask(self.find(place, key)).boxed()
    }

    fn near<'a>(&'a self, place: &'a Place, to: &'a Vector, count: usize) -> Answer<'a, Vec<(Key, Record)>> {
        self.wire.ask(self.nearest(place, to, count)).boxed()
    }

    fn put<'a>(&'a self, place: &'a Place, key: &'a Key, record: Record) -> Answer<'a, ()> {
        self.wire.ask(self.write(place, key, record)).boxed()
    }

    fn clear<'a>(&'a self, tags: &'a [Tag]) -> Answer<'a, ()> {
        self.wire.insist(self.mark(tags)).boxed()
    }

    fn purge<'a>(&'a self, tag: &'a Tag) -> Answer<'a, ()> {
        async {
            self.wire.insist(self.mark(std::slice::from_ref(tag))).await?;
            let sql = "DELETE FROM cardea_cache WHERE $1 = ANY(tags)";
            let out = async { self.rows(sql, &[&tag.0.as_slice()]).await.map(drop) };
            self.wire.insist_for(self.wire.patience().max(THOROUGH), out).await
        }
        .boxed()
    }

    fn held(&self) -> Answer<'_, Option<Held>> {
        let work = async {
            let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(octet_length(record) + 512), 0) AS BIGINT) FROM cardea_cache";
            let rows = self.rows(sql, &[]).await?;
            let number = |row: &Row, at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or(0);
            Ok(rows.first().map(|row| Held { entries: number(row, 0), bytes: number(row, 1), evicted: 0 }))
        };
        self.wire.ask(work).boxed()
    }
}
