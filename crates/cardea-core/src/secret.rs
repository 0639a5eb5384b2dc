//! Values that must not be printed.

pub use secrecy::{ExposeSecret, SecretString};

/// Reason why a configured secret cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// A `${NAME}` in the configuration was never replaced.
    #[error("still contains `${{…}}`: the variable was not expanded, so the secret would be a public text")]
    Unexpanded,
    /// Shorter than HMAC-SHA-256 allows (RFC 7518 section 3.2 requires a key at least as long as the hash).
    #[error("has {0} bytes; a signing secret needs at least 32")]
    Short(usize),
}

/// Checks a symmetric signing secret.
///
/// # Errors
/// [`WeakSecret`] says what is wrong, never the value.
pub fn check_signing_secret(secret: &SecretString) -> Result<(), WeakSecret> {
    let text = secret.expose_secret();
    if text.contains("${") {
        return Err(WeakSecret::Unexpanded);
    }
    if text.len() < 32 { Err(WeakSecret::Short(text.len())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_anyone_could_know_is_refused() {
        let check = |text: &str| check_signing_secret(&SecretString::from(text.to_owned()));
        assert_eq!(check("${JWT_SECRET}"), Err(WeakSecret::Unexpanded));
        assert_eq!(check("short"), Err(WeakSecret::Short(5)));
        assert_eq!(check("0123456789abcdef0123456789abcdef"), Ok(()));
    }
}
