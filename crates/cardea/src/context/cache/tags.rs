//! Tags of entries. They are digests, so that a store learns no word of what they stand for.

use aws_lc_rs::digest::{Context as Hash, SHA256};
use cardea_core::{
    id::{ConversationId, TenantId},
    principal::Principal,
};
use cardea_store::shared::cache::Tag;

/// Returns a digest over parts, each with its length, so that no two sequences of parts are confused.
pub(super) fn digest<const N: usize>(kind: &str, parts: [&[u8]; N]) -> [u8; 32] {
    let mut hash = Hash::new(&SHA256);
    for part in std::iter::once(kind.as_bytes()).chain(parts) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

pub(super) fn short<const N: usize>(kind: &str, parts: [&[u8]; N]) -> Tag {
    let mut tag = [0; 16];
    digest(kind, parts).iter().zip(&mut tag).for_each(|(from, to)| *to = *from);
    Tag(tag)
}

/// Returns a tag of one tenant; the same word gives another tag in another tenant.
pub(super) fn tag(tenant: &TenantId, text: &str) -> Tag {
    short("tag", [tenant.as_str().as_bytes(), text.as_bytes()])
}

/// Returns the tag that every entry of a user name carries, whatever its issuer. No word that a client may clear gives
/// this tag.
pub(super) fn user_tag_of(tenant: &TenantId, user: &str) -> Tag {
    short("user", [tenant.as_str().as_bytes(), user.as_bytes()])
}

/// Returns the tag that every entry of one person carries (`Principal::key`): the user of this name at one issuer.
pub(super) fn owner_tag(owner: &str) -> Tag {
    short("owner", [owner.as_bytes()])
}

/// Returns the tags by which an entry is cleared with all others of its user: the name, and the person.
pub(super) fn user_tags(user: &Principal) -> [Tag; 2] {
    [user_tag_of(&user.tenant, user.user.as_str()), owner_tag(&user.key())]
}

/// Returns the tag of answers that were given in a conversation.
pub(super) fn talk_tag(tenant: &TenantId, talk: ConversationId) -> Tag {
    short("talk", [tenant.as_str().as_bytes(), talk.to_string().as_bytes()])
}

/// Returns the tag that every entry of a tenant carries.
pub(super) fn tenant_tag(tenant: &TenantId) -> Tag {
    short("tenant", [tenant.as_str().as_bytes()])
}
