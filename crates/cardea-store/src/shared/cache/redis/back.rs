//! A server that came back with what it had saved some time ago: its counts are of then, and so is what it forgot to clear.

use std::sync::atomic::Ordering;

use redis::cmd;

use super::{Away, CLOCK, FLOOR, RedisCache, SEQ, whole};

impl RedisCache {
    /// True if the count of clearings is lower than one that this process has seen. Everything that lies there counts as
    /// cleared from then on: of what was cleared since nobody knows. Nodes that have started since do not see it.
    pub(super) async fn went_back(&self, clock: u64) -> Result<bool, Away> {
        let before = self.highest.fetch_max(clock, Ordering::Relaxed);
        if clock >= before {
            return Ok(false);
        }
        // WHY: answers overtake each other. What is asked now cannot be lower, unless it went back.
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
        // WHY the time too: other nodes' copies go on, and may have read further than those of this one. The numbers began at
        // a time (`count`) and grow more slowly than it does.
        pipe.cmd("ZADD").arg(self.counts()).arg("GT").arg(self.clock.now().0).arg(SEQ).ignore();
        self.run::<()>(&pipe).await?;
        Ok(true)
    }
}
