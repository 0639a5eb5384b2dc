//! Replaces a person's secret, as part of another room's commit.

use cardea_core::{Code, Error, Result, id::SecretId, principal::Principal};
use cardea_store::Commit;

use super::{
    Kept, LARGEST, REPLACE, Vault,
    seal::{self, Bound},
};

/// Fate of a commit that replaces a secret which was destroyed or replaced since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// The commit is void.
    Void,
    /// The rest of the commit is valid, and the secret stays as it is.
    StaysSo,
}

impl Vault {
    /// Returns the rows that replace a person's secret that was opened before. They belong in a commit that says why;
    /// that commit writes the audit entry, not this function.
    ///
    /// # Errors
    /// `too_large` above 64 KiB; `internal` if the person's key cannot be read or created; `store_unavailable` if its
    /// disk does not answer.
    pub async fn keeping(
        &self,
        owner: &Principal,
        name: &str,
        replaced: Option<(Kept, Destroyed)>,
        secret: &[u8],
    ) -> Result<(Commit, Kept)> {
        if secret.len() > LARGEST {
            return Err(Error::new(Code::TooLarge).detail("A secret may have 64 KiB at most."));
        }
        let known = |(kept, _): (Kept, Destroyed)| (kept.id, kept.version);
        let (id, before) = replaced.map_or_else(|| (SecretId::random(), 0), known);
        let person = self.person_of(&owner.key()).await?;
        let version = before.saturating_add(1);
        let bound = Bound { tenant: &owner.tenant, id, name, version, person: Some(&person) };
        let sealed = seal::seal(&self.0.root, &bound, secret)?;
        let rows = match replaced {
            Some((_, Destroyed::StaysSo)) => {
                Commit::new().run(REPLACE, self.replacing(&bound, sealed, before))
            }
            _ => self.write(&bound, sealed, before),
        };
        Ok((rows, Kept { id, version }))
    }
}
