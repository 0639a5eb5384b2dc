//! Detects a server that was restored from an old snapshot: its counts are old, and clearings since then are missing.

use std::sync::atomic::Ordering;

use redis::cmd;

use super::{Away, CLOCK, FLOOR, RedisCache, SEQ, whole};

impl RedisCache {
    /// Returns whether the count of clearings is lower than one that this process has seen. Everything on the server
    /// then counts as cleared, since it is unknown what was cleared since. Nodes that have started since cannot detect
    /// it.
    pub(super) async fn went_back(&self, clock: u64) -> Result<bool, Away> {
        let before = self.highest.fetch_max(clock, Ordering::Relaxed);
        if clock >= before {
            return Ok(false);
        }
        // WHY: answers overtake each other. A count that is read now cannot be lower, unless the server was restored.
        let now: Option<f64> = self.one(cmd("ZSCORE").arg(self.counts()).arg(CLOCK).to_owned()).await?;
        let Some(now) = now.map(whole).filter(|now| *now < before) else { return Ok(false) };
        tracing::warn!("the cache's server has lost its latest changes; what it keeps counts as old");
        let upto = self.copies.drain();
        let mut pipe = redis::pipe();
        pipe.atomic();
        for (member, least) in [(CLOCK, before + 1), (FLOOR, before + 1)] {
            pipe.cmd("ZADD").arg(self.counts()).arg("GT").arg(least.max(now + 1)).arg(member).ignore();
        }
        pipe.cmd("ZADD").arg(self.counts()).arg("GT").arg(upto).arg(SEQ).ignore();
        // WHY the time too: copies of other nodes continue, and may have read further than those of this one. The
        // numbers began at a time (`count`) and grow more slowly than the time.
        pipe.cmd("ZADD").arg(self.counts()).arg("GT").arg(self.clock.now().0).arg(SEQ).ignore();
        self.run::<()>(&pipe).await?;
        Ok(true)
    }
}
