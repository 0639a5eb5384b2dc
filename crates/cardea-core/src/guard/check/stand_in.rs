//! Recognizes stand-ins: texts that mark the place of a secret.

use super::begun::Begun;

/// Words used as stand-ins.
static STAND_INS: Begun<36> = Begun::new([
    b"example",
    b"changeme",
    b"change_me",
    b"placeholder",
    b"your_",
    b"your-",
    b"yourtoken",
    b"redacted",
    b"fake",
    b"test-api",
    b"test_key",
    b"0123456789",
    b"1234567890",
    b"deadbeef",
    b"unit-test",
    b"unit_test",
    b"mysecret",
    b"my-secret",
    b"my_secret",
    b"sample",
    b"xxxx",
    b"****",
    b"....",
    b"</",
    b"${",
    b"{{",
    b"$(",
    b"%(",
    b"process.env",
    b"os.environ",
    b"getenv",
    b"secrets.",
    b"vault:",
    b"[secret",
    b"[api",
    b"[password",
]);

/// Stand-ins that are short enough to occur in generated text by chance. They count only between signs.
const SHORT_STAND_INS: &[&[u8]] =
    &[b"null", b"undefined", b"none", b"false", b"true", b"todo", b"string", b"dummy", b"insert"];

/// Beginnings of references to a secret, and keys that are public.
static ELSEWHERE: Begun<68> = Begun::new([
    b"arn:",
    b"op://",
    b"vault:",
    b"vault://",
    b"projects/",
    b"@microsoft.keyvault",
    b"ssm:",
    b"ssm://",
    b"sm://",
    b"gcpsm:",
    b"awssm:",
    b"azkv:",
    b"env:",
    b"env://",
    b"env.",
    b"file:",
    b"file://",
    b"ref+",
    b"doppler://",
    b"akeyless:",
    b"bws://",
    b"secret://",
    b"secrets/",
    b"sops:",
    b"keyring:",
    b"keychain:",
    b"secretsmanager",
    b"infisical://",
    b"kv/",
    b"/run/secrets",
    b"pk_live_",
    b"pk_test_",
    b"pk.eyj",
    b"data.",
    b"var.",
    b"local.",
    b"module.",
    b"config.",
    b"settings.",
    b"self.",
    b"this.",
    b"process.",
    b"os.",
    b"request.",
    b"req.",
    b"args.",
    b"options.",
    b"params.",
    b"credentials.",
    b"aws4-hmac",
    b"ssh-rsa",
    b"ssh-ed25519",
    b"http://",
    b"https://",
    b"sha256-",
    b"sha384-",
    b"sha512-",
    b"sha256:",
    b"sha1:",
    b"md5:",
    b"ref://",
    b"kms:",
    b"keyvault",
    // Public keys in OpenSSH format: the name of the key type in base64, after its length.
    b"aaaab3nzac1",
    b"aaaac3nzac1lzdi1nte5",
    b"aaaae2vjzhnh",
    b"aaaagnnrlxnzac1",
    b"aaaainnrlwvjzhnh",
]);

/// Returns whether the text contains a stand-in.
pub(super) fn stands_in(text: &[u8]) -> bool {
    let apart = |piece: &[u8]| SHORT_STAND_INS.iter().any(|word| piece.eq_ignore_ascii_case(word));
    STAND_INS.stand_in(text)
        || is_to_fill_in(text)
        || text.split(|byte| !byte.is_ascii_alphabetic()).any(apart)
        || ELSEWHERE.begin(text)
}

/// Returns whether the text begins or ends with angle brackets around a name: `<password>`, `prefix-<id>`. Elsewhere
/// they are ordinary signs.
fn is_to_fill_in(text: &[u8]) -> bool {
    text.starts_with(b"<") || (text.ends_with(b">") && text.contains(&b'<'))
}

/// Accepts text that is not a stand-in, for shapes that need no other check.
pub(super) fn real(text: &[u8]) -> bool {
    !text.is_empty() && !stands_in(text)
}
