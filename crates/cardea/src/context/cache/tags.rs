//! Names of what entries have in common: digests, so that no store learns a word of it.

use aws_lc_rs::digest::{Context as Hash, SHA256};
use cardea_core::{
    id::{ConversationId, TenantId},
    principal::Principal,
};
use cardea_store::shared::cache::Tag;

/// A digest over parts, each with its length, so that no choice of parts can make two of them one.
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

/// A tag of one tenant: the same word of another tenant is another tag.
pub(super) fn tag(tenant: &TenantId, text: &str) -> Tag {
    short("tag", [tenant.as_str().as_bytes(), text.as_bytes()])
}

/// The tag that every entry of a user carries, whoever vouched for the name. No word that anybody may clear is it.
pub(super) fn user_tag_of(tenant: &TenantId, user: &str) -> Tag {
    short("user", [tenant.as_str().as_bytes(), user.as_bytes()])
}

/// The tag that every entry of one person carries (`Principal::key`): somebody of this name whom one issuer vouches for.
pub(super) fn owner_tag(owner: &str) -> Tag {
    short("owner", [owner.as_bytes()])
}

/// By what an entry is cleared with all others of its user: the name, and the person.
pub(super) fn user_tags(user: &Principal) -> [Tag; 2] {
    [user_tag_of(&user.tenant, user.user.as_str()), owner_tag(&user.key())]
}

/// The tag of answers that were given in a conversation.
pub(super) fn talk_tag(tenant: &TenantId, talk: ConversationId) -> Tag {
    short("talk", [tenant.as_str().as_bytes(), talk.to_string().as_bytes()])
}

/// The tag that every entry of a tenant carries.
pub(super) fn tenant_tag(tenant: &TenantId) -> Tag {
    short("tenant", [tenant.as_str().as_bytes()])
}
