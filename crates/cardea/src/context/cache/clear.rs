//! Clearing: by tag, by user, by conversation, by tenant; and clearings that the store has not received yet.

use std::{collections::BTreeMap, sync::MutexGuard};

use cardea_core::id::{ConversationId, TenantId};
use cardea_store::shared::cache::Tag;

use super::{
    Cache,
    clearing::{Cleared, How, Purged},
    tags::{owner_tag, tag, talk_tag, tenant_tag, user_tag_of},
};

impl Cache {
    /// Returns the count of clearings; `None` if the store is unavailable or has not received all clearings.
    pub(super) async fn ready(&self) -> Option<u64> {
        let owed = self.owed().clone();
        let count = self.0.store.clearings().await.ok()?;
        if owed.is_empty() {
            return Some(count);
        }
        let tags: Vec<Tag> = owed.keys().copied().collect();
        self.0.store.clear(&tags).await.ok()?;
        // A clearing that was requested again meanwhile is still owed.
        self.owed().retain(|tag, times| owed.get(tag) != Some(times));
        self.0.store.clearings().await.ok()
    }

    pub(super) fn owed(&self) -> MutexGuard<'_, BTreeMap<Tag, u64>> {
        self.0.owed.tags()
    }

    /// Clears all entries of one tenant that carry one of the tags.
    pub async fn clear_tags(&self, tenant: &TenantId, tags: &[String]) -> Cleared {
        if tags.is_empty() {
            return Cleared::Surely;
        }
        let tags: Vec<Tag> = tags.iter().map(|text| tag(tenant, text)).collect();
        self.clear(tenant, &tags).await
    }

    /// Clears the answers that were given in a conversation.
    pub async fn forget_talk(&self, tenant: &TenantId, talk: ConversationId) -> Cleared {
        self.clear(tenant, &[talk_tag(tenant, talk)]).await
    }

    /// Clears all entries of one tenant.
    pub async fn clear_tenant(&self, tenant: &TenantId) -> Cleared {
        self.clear(tenant, &[tenant_tag(tenant)]).await
    }

    pub(super) async fn clear(&self, tenant: &TenantId, tags: &[Tag]) -> Cleared {
        let cleared = match &self.0.marks {
            // A clearing that cannot be recorded now is recorded later.
            Some(marks) => marks.clear(tenant, tags, How::Stale, self.0.clock.now()).await,
            None => self.0.store.clear(tags).await.map(|()| Cleared::Surely),
        };
        match cleared {
            Ok(cleared) => cleared,
            Err(_away) => self.owe(tenant, tags, How::Stale).await,
        }
    }

    /// Removes everything that was kept for one user of the tenant, in every scope and layer, and clears what is being
    /// generated. Until it is removed, none of it is served by this node.
    pub async fn purge(&self, tenant: &TenantId, user: &str) -> Purged {
        self.take_out(tenant, user_tag_of(tenant, user)).await
    }

    /// Does the same for one person (`Principal::key`). Entries of other users with the same name stay.
    pub async fn purge_owner(&self, tenant: &TenantId, owner: &str) -> Purged {
        self.take_out(tenant, owner_tag(owner)).await
    }

    async fn take_out(&self, tenant: &TenantId, tag: Tag) -> Purged {
        let purged = match &self.0.marks {
            Some(marks) => match marks.clear(tenant, &[tag], How::Out, self.0.clock.now()).await {
                Ok(Cleared::Surely) => Purged::Out,
                Ok(Cleared::ForNow) | Err(_) => Purged::ForNow,
            },
            None => match self.0.store.purge(&tag).await {
                Ok(()) => Purged::Out,
                Err(_away) => match self.owe(tenant, &[tag], How::Out).await {
                    Cleared::Surely => Purged::Owed,
                    Cleared::ForNow => Purged::ForNow,
                },
            },
        };
        self.persist().await;
        purged
    }
}
