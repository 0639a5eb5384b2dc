//! Forgetting: by tag, by user, by conversation, by tenant; and clearings that a store could not be told of.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

use cardea_core::id::{ConversationId, TenantId};
use cardea_store::shared::cache::Tag;

use super::{
    Cache,
    marks::How,
    tags::{tag, talk_tag, tenant_tag, user_tag_of},
};

/// Clearings that may be owed one by one; beyond it everything of the tenant is cleared instead.
pub(super) const OWED: usize = 4_096;

impl Cache {
    /// The count of clearings, or `None` if the store is away or has not heard of all clearings.
    pub(super) async fn ready(&self) -> Option<u64> {
        let owed = self.owed().clone();
        let count = self.0.store.clearings().await.ok()?;
        if owed.is_empty() {
            return Some(count);
        }
        let tags: Vec<Tag> = owed.keys().copied().collect();
        self.0.store.clear(&tags).await.ok()?;
        // What was asked for once more meanwhile is still owed.
        self.owed().retain(|tag, times| owed.get(tag) != Some(times));
        self.0.store.clearings().await.ok()
    }

    pub(super) fn owed(&self) -> MutexGuard<'_, BTreeMap<Tag, u64>> {
        self.0.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything of one tenant that carries one of the tags.
    pub async fn clear_tags(&self, tenant: &TenantId, tags: &[String]) {
        if !tags.is_empty() {
            let tags: Vec<Tag> = tags.iter().map(|text| tag(tenant, text)).collect();
            self.clear(tenant, &tags).await;
        }
    }

    /// Forgets the answers that were given in a conversation.
    pub async fn forget_talk(&self, tenant: &TenantId, talk: ConversationId) {
        self.clear(tenant, &[talk_tag(tenant, talk)]).await;
    }

    /// Forgets everything of one tenant.
    pub async fn clear_tenant(&self, tenant: &TenantId) {
        self.clear(tenant, &[tenant_tag(tenant)]).await;
    }

    pub(super) async fn clear(&self, tenant: &TenantId, tags: &[Tag]) {
        let cleared = match &self.0.marks {
            Some(marks) => marks.clear(tenant, tags, How::Stale, self.0.clock.now()).await,
            None => self.0.store.clear(tags).await,
        };
        if cleared.is_err() {
            self.owe(tenant, tags);
        }
    }

    fn owe(&self, tenant: &TenantId, tags: &[Tag]) {
        let mut owed = self.owed();
        let all = [tenant_tag(tenant)];
        let tags = if owed.len() + tags.len() > OWED { &all } else { tags };
        tags.iter().for_each(|tag| *owed.entry(*tag).or_default() += 1);
    }

    /// Takes out everything that was kept for one user of the tenant, in every scope and layer, and clears what is on
    /// its way. False if the store is away: it is owed then.
    pub async fn purge(&self, tenant: &TenantId, user: &str) -> bool {
        let tag = user_tag_of(tenant, user);
        let purged = match &self.0.marks {
            Some(marks) => marks.clear(tenant, &[tag], How::Out, self.0.clock.now()).await,
            None => {
                self.clear(tenant, &[tag]).await;
                self.0.store.purge(&tag).await
            }
        };
        let purged = purged.is_ok();
        self.persist().await;
        purged
    }
}
