//! The seal itself: pure bytes in, bytes out.
//!
//! `wrapped_key` is nonce ‖ AES-256-GCM(wrapping key, data key), `sealed` is format ‖ nonce ‖ AES-256-GCM(data key,
//! secret). The wrapping key is derived from the root key for this one row and version, so no key ever seals twice
//! under random nonces. Both carry the identity of the row ([`Bound`]) as associated data.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use cardea_core::{
    Code, Error, Result,
    id::{SecretId, TenantId},
};
use zeroize::Zeroizing;

use super::{people::Person, root::RootKey};

const FORMAT: u8 = 1;

/// Identity of a sealed row. A seal opens only for exactly this row.
pub(super) struct Bound<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) id: SecretId,
    pub(super) name: &'a str,
    pub(super) version: i64,
    /// The person whose key is needed to open it, if it belongs to one.
    pub(super) person: Option<&'a Person>,
}

impl Bound<'_> {
    /// Returns the parts, each preceded by its length, so that no two rows have the same bytes.
    fn bytes(&self, part: &str) -> Vec<u8> {
        let (id, version) = (self.id.to_string(), self.version.to_string());
        let mut bytes = vec![FORMAT];
        let person = self.person.map(|person| person.id.as_str());
        for text in [part, self.tenant.as_str(), &id, self.name, &version].into_iter().chain(person) {
            bytes.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}

/// The columns of a sealed row.
pub(super) struct Sealed {
    pub(super) key_id: String,
    pub(super) wrapped_key: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

/// Seals a secret under a fresh data key.
pub(super) fn seal(root: &RootKey, bound: &Bound<'_>, secret: &[u8]) -> Result<Sealed> {
    let broken = || Error::new(Code::Internal).because("sealing failed");
    let mut data_key = Zeroizing::new([0_u8; 32]);
    rand::fill(data_key.as_mut()).map_err(|_| broken())?;
    let mut sealed = vec![FORMAT];
    sealed.extend(encrypt(&data_key, &bound.bytes("data"), secret).ok_or_else(broken)?);
    let wrapping = wrapping(root, bound, root.id()).ok_or_else(broken)?;
    let wrapped_key = encrypt(&wrapping, &bound.bytes("key"), data_key.as_ref()).ok_or_else(broken)?;
    Ok(Sealed { key_id: root.id().to_owned(), wrapped_key, sealed })
}

/// Opens a sealed row; `None` if anything about it differs from what was sealed.
pub(super) fn open(root: &RootKey, bound: &Bound<'_>, row: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
    let data_key = unwrap(root, bound, &row.key_id, &row.wrapped_key)?;
    let (format, rest) = row.sealed.split_first()?;
    if *format != FORMAT {
        return None;
    }
    decrypt(&data_key, &bound.bytes("data"), rest)
}

/// Wraps the data key under the newest root key instead of an older one.
pub(super) fn rewrap(root: &RootKey, bound: &Bound<'_>, key_id: &str, wrapped: &[u8]) -> Option<Vec<u8>> {
    let data_key = unwrap(root, bound, key_id, wrapped)?;
    let wrapping = wrapping(root, bound, root.id())?;
    encrypt(&wrapping, &bound.bytes("key"), data_key.as_ref())
}

/// Returns the key that wraps the data key of a row, derived from the root key, and from the person's key if the row
/// belongs to a person.
fn wrapping(root: &RootKey, bound: &Bound<'_>, key_id: &str) -> Option<Zeroizing<[u8; 32]>> {
    let row = root.wrapping(key_id, &bound.bytes("key"))?;
    Some(match bound.person {
        Some(person) => person.wrapping(&row),
        None => row,
    })
}

fn unwrap(root: &RootKey, bound: &Bound<'_>, key_id: &str, wrapped: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let wrapping = wrapping(root, bound, key_id)?;
    let opened = decrypt(&wrapping, &bound.bytes("key"), wrapped)?;
    let mut key = Zeroizing::new([0; 32]);
    if opened.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&opened);
    Some(key)
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

pub(super) fn encrypt(key: &[u8; 32], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let mut nonce = [0_u8; NONCE_LEN];
    rand::fill(&mut nonce).ok()?;
    // WHY: room for everything at once, so that growing leaves no copy of the plain text behind.
    let mut text = Vec::with_capacity(plain.len().saturating_add(AES_256_GCM.tag_len()));
    text.extend_from_slice(plain);
    cipher(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut text)
        .ok()?;
    let mut whole = nonce.to_vec();
    whole.append(&mut text);
    Some(whole)
}

pub(super) fn decrypt(key: &[u8; 32], aad: &[u8], whole: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = whole.split_first_chunk::<NONCE_LEN>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let length = cipher(key)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut text)
        .ok()?
        .len();
    text.truncate(length);
    Some(text)
}
