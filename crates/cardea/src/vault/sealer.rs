//! Sealing what leaves this process and is not kept here: many small things, under one key of the vault.

use cardea_core::{Code, Error, Result, id::TenantId, principal::INSTALLATION};
use zeroize::Zeroizing;

use super::{
    Vault,
    derive::derive,
    seal::{decrypt, encrypt},
};

/// A key for things that others keep for us: they can neither read them, nor change them, nor put one in another's
/// place. They can give back an older one; whoever opens it must know by what is in it whether it is still good.
pub struct Sealer(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Vault {
    /// The sealer of this name: the same one on all nodes that share the database.
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
    /// A sealer that nobody else has.
    ///
    /// # Errors
    /// `internal` without random numbers.
    pub fn ephemeral() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let filled = aws_lc_rs::rand::fill(key.as_mut());
        filled.map_err(|_| Error::new(Code::Internal).because("no random numbers"))?;
        Ok(Self(key))
    }

    /// Seals bytes for one place, with what stands beside them. `None`: no random numbers, so nothing may be sealed.
    #[must_use]
    pub fn seal(&self, place: &[u8], beside: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        encrypt(&self.of(place), beside, plain)
    }

    /// Opens what was sealed for exactly this place, with exactly this beside it.
    #[must_use]
    pub fn open(&self, place: &[u8], beside: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        decrypt(&self.of(place), beside, sealed)
    }

    /// WHY: a key for each place, so that chosen nonces never run out under one.
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
