//! Removes all records with a tag, wherever they are.

use redis::cmd;

use super::{Away, Key, Record, RedisCache, Tag, member};

impl RedisCache {
    pub(super) async fn sweep(&self, tag: &Tag) -> Result<(), Away> {
        let mut cursor = 0_u64;
        loop {
            let mut ask = cmd("SCAN");
            ask.arg(cursor).arg("MATCH").arg(format!("{}:e:*", escaped(&self.name))).arg("COUNT").arg(500);
            let (next, names): (u64, Vec<String>) = self.wire.insist(self.one(ask)).await?;
            if !names.is_empty() {
                let mut read = cmd("MGET");
                for name in &names {
                    read.arg(name);
                }
                let bytes: Vec<Option<Vec<u8>>> = self.wire.insist(self.one(read)).await?;
                let (mut pipe, mut some) = (redis::pipe(), false);
                for (name, bytes) in names.iter().zip(bytes) {
                    let Some(record) = bytes.as_deref().map(Record::from_bytes) else { continue };
                    // A record that cannot be read may belong to anyone: it is removed as well.
                    if record.as_ref().is_none_or(|record| record.tags.contains(tag)) {
                        pipe.cmd("UNLINK").arg(name).ignore();
                        some = true;
                    }
                    // The vector reveals the question: it must not stay behind.
                    let vector =
                        record.filter(|record| record.tags.contains(tag)).and_then(|record| record.vector);
                    if let (Some(vector), Some((shelf, key))) = (vector, self.shelf_of(name)) {
                        pipe.cmd("ZREM").arg(shelf).arg(member(&key, &vector)).ignore();
                    }
                }
                if some {
                    self.wire.insist(self.run::<()>(&pipe)).await?;
                }
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Returns the shelf and the key of a record with this name.
    fn shelf_of(&self, name: &str) -> Option<(String, Key)> {
        let rest = name.strip_prefix(&self.name)?.strip_prefix(":e:")?;
        let (place, key) = rest.split_once(':')?;
        let digits = |at: usize| u8::from_str_radix(key.get(2 * at..2 * at + 2)?, 16).ok();
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = digits(at)?;
        }
        Some((format!("{}:s:{place}", self.name), Key(bytes)))
    }
}

/// Escapes a name as a pattern that matches only itself.
fn escaped(name: &str) -> String {
    name.chars().fold(String::new(), |mut all, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            all.push('\\');
        }
        all.push(c);
        all
    })
}
