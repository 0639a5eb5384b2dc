//! Seals data that leaves this process and is kept elsewhere: many small items, under one key of the vault.

use cardea_core::{Code, Error, Result, id::TenantId, principal::INSTALLATION};
use zeroize::Zeroizing;

use super::{
    Vault,
    derive::derive,
    seal::{decrypt, encrypt},
};

/// A key for items that others keep for Cardea. They can neither read nor change an item, nor put it in the place of
/// another one. They can return an older item; its content must tell whether it is still valid.
pub struct Sealer(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Vault {
    /// Returns the sealer with this name, which all nodes on the database share.
    ///
    /// # Errors
    /// As [`Vault::open`] and [`Vault::seal`].
    pub async fn sealer(&self, name: &str) -> Result<Sealer> {
        let fresh = || {
            let mut key = Zeroizing::new(vec![0; 32]);
            let filled = aws_lc_rs::rand::fill(&mut key);
            filled.map_err(|_| Error::new(Code::Internal).because("no random numbers"))?;
            Ok(key)
        };
        let key = self.open_or_make(&TenantId::from(INSTALLATION), name, fresh).await?;
        let mut bytes = Zeroizing::new([0; 32]);
        if key.len() != bytes.len() {
            return Err(Error::new(Code::Internal).because(format!("the sealed secret `{name}` is no key")));
        }
        bytes.copy_from_slice(&key);
        Ok(Sealer(bytes))
    }
}

impl Sealer {
    /// Creates a sealer that is not shared.
    ///
    /// # Errors
    /// `internal` without random numbers.
    pub fn ephemeral() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let filled = aws_lc_rs::rand::fill(key.as_mut());
        filled.map_err(|_| Error::new(Code::Internal).because("no random numbers"))?;
        Ok(Self(key))
    }

    /// Seals bytes for one place, bound to the data beside them. `None` without random numbers; nothing may be sealed
    /// then.
    #[must_use]
    pub fn seal(&self, place: &[u8], beside: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        encrypt(&self.of(place), beside, plain)
    }

    /// Opens what was sealed for exactly this place, with exactly this data beside it.
    #[must_use]
    pub fn open(&self, place: &[u8], beside: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        decrypt(&self.of(place), beside, sealed)
    }

    /// Derives the key of a place. WHY: a key for each place, so that random nonces never run out under one.
    fn of(&self, place: &[u8]) -> Zeroizing<[u8; 32]> {
        derive(&self.0, b"cardea sealer 1", place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_only_in_its_place_and_unchanged() {
        let (ours, other) = (Sealer::ephemeral().unwrap(), Sealer::ephemeral().unwrap());
        let sealed = ours.seal(b"place", b"until 5", b"answer").unwrap();
        assert_eq!(ours.open(b"place", b"until 5", &sealed).unwrap().as_slice(), b"answer");
        assert!(ours.open(b"place", b"until 6", &sealed).is_none());
        assert!(ours.open(b"placf", b"until 5", &sealed).is_none());
        assert!(other.open(b"place", b"until 5", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ours.open(b"place", b"until 5", &changed).is_none(), "{at}");
            assert!(ours.open(b"place", b"until 5", &sealed[..at]).is_none(), "{at}");
        }
        assert_ne!(sealed, ours.seal(b"place", b"until 5", b"answer").unwrap());
    }
}
