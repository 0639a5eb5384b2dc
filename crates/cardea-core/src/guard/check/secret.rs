//! Distinguishes generated secrets and chosen passwords from examples and ordinary text.

use super::{super::bytes::Bytes, begun::Begun, stand_in::stands_in};

/// Minimum length of a piece between signs whose letters are examined.
const SHORTEST_PIECE: usize = 8;

/// Minimum number of letters and digits of a generated text in such pieces.
const FEWEST_MADE: usize = 14;

/// Recognizes generated text by how often letters and digits alternate. Words of a language stay with one kind for
/// longer, in any case and with any separators.
pub(super) fn made(text: &[u8]) -> bool {
    let body = text.strip_prefix(b"0x").unwrap_or(text);
    let kinds = classes(body);
    let letters = kinds.lower + kinds.upper;
    if kinds.digit == 0 || letters == 0 || stands_in(text) || is_uuid(body) || is_account(body) {
        return false;
    }
    if is_object(text) {
        return false;
    }
    if body.iter().all(u8::is_ascii_hexdigit) {
        return body.len() >= 26 && entropy(body) >= 2.6;
    }
    let (mut runs, mut signs) = (0, 0);
    for piece in
        body.split(|byte| !byte.is_ascii_alphanumeric()).filter(|piece| piece.len() >= SHORTEST_PIECE)
    {
        runs += runs_of(piece);
        signs += piece.len();
    }
    let two = kinds.lower == 0 || kinds.upper == 0;
    let enough = if two { runs * 5 >= signs } else { runs * 3 >= signs };
    signs >= FEWEST_MADE && signs * 2 >= body.len() && enough && entropy(body) >= 3.0
}

/// Matches the id of an object of a service. Its first letters state its kind, and it is not a secret.
fn is_object(text: &[u8]) -> bool {
    static KINDS: Begun<76> = Begun::new([
        b"we_",
        b"cus_",
        b"evt_",
        b"pi_",
        b"price_",
        b"prod_",
        b"sub_",
        b"in_",
        b"ch_",
        b"req_",
        b"acct_",
        b"txn_",
        b"seti_",
        b"pm_",
        b"cs_",
        b"il_",
        b"si_",
        b"re_1",
        b"py_",
        b"po_",
        b"tr_",
        b"ba_",
        b"card_",
        b"src_",
        b"plan_",
        b"file-",
        b"asst_",
        b"thread_",
        b"run_",
        b"call_",
        b"msg_",
        b"resp_",
        b"rs_",
        b"fc_",
        b"chatcmpl-",
        b"cmpl-",
        b"org-",
        b"proj_",
        b"toolu_",
        b"step_",
        b"batch_",
        b"ftjob-",
        b"ft:",
        b"vs_",
        b"dpl_",
        b"prj_",
        b"team_",
        b"user_",
        b"usr_",
        b"conn_",
        b"log_",
        b"obj_",
        b"doc_",
        b"img_",
        b"job_",
        b"task_",
        b"evt-",
        b"wf_",
        b"trace-",
        b"span-",
        b"session_",
        b"conv_",
        b"item_",
        b"order_",
        b"inv_",
        b"ord_",
        b"pay_",
        b"cust_",
        b"i-0",
        b"vpc-",
        b"subnet-",
        b"sg-",
        b"ami-",
        b"vol-",
        b"eni-",
        b"snap-",
    ]);
    KINDS.begin_as_written(text) && !text.windows(8).any(|part| part == b"_secret_")
}

/// Matches the id of a Twilio account, which is not a secret.
fn is_account(text: &[u8]) -> bool {
    text.strip_prefix(b"AC").is_some_and(|rest| rest.len() == 32 && rest.iter().all(u8::is_ascii_hexdigit))
}

/// Counts runs of one kind of character. A word with its capital letter counts as one.
pub(super) fn runs_of(piece: &[u8]) -> usize {
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let (mut runs, mut length, mut last) = (0, 0_usize, None);
    for byte in piece {
        let now = kind(*byte);
        let hump = last == Some((false, true)) && now == (false, false) && length == 1;
        if last == Some(now) {
            length += 1;
        } else if hump {
            // The capital letter belongs to the word that it begins.
        } else {
            runs += 1;
            length = 1;
        }
        last = Some(now);
    }
    runs
}

/// Accepts what a service issues: generated text, or an identifier that is used as a secret next to an unambiguous
/// name.
pub(super) fn issued(text: &[u8]) -> bool {
    // Real ones contain the version digit and few zeros.
    let plain = || text.iter().filter(|byte| **byte == b'0').count() * 2 < text.len();
    let real = || text.iter().any(u8::is_ascii_digit) && plain();
    made(text) || random(text) || (is_uuid(text) && real() && !stands_in(text))
}

/// Accepts letters only, with an order of small and capital ones that neither words nor names in code have.
pub(super) fn scrambled(text: &[u8]) -> bool {
    let kinds = classes(text);
    let vowel = |byte: &u8| b"aeiouy".contains(&byte.to_ascii_lowercase());
    let hardest = text.split(vowel).map(<[u8]>::len).max().unwrap_or_default();
    let runs = runs_of(text);
    text.len() >= 16
        && kinds.digit + kinds.other == 0
        && kinds.lower.min(kinds.upper) * 5 >= text.len()
        && ((runs * 7 >= text.len() * 2 && hardest >= 4) || (runs * 3 >= text.len() && hardest >= 3))
        && entropy(text) >= 3.3
        && !stands_in(text)
}

/// Accepts generated text in a sentence about a key. Twenty-four hexadecimal digits are more likely the id of an
/// object.
pub(super) fn told_key(text: &[u8]) -> bool {
    let hex = (20..=26).contains(&text.len()) && text.len() != 24 && text.iter().all(u8::is_ascii_hexdigit);
    let kinds = classes(text);
    // WHY: at this length, capital letters alone are more likely the name of an algorithm or the number of a key.
    let short = text.len() < 18 && (kinds.lower == 0 || kinds.upper == 0);
    (made(text) && !short) || (hex && random(text))
}

/// Accepts what a service issues next to its name and a word for keys, including identifiers and letters only.
pub(super) fn vendor_made(text: &[u8]) -> bool {
    (is_uuid(text) && issued(text)) || scrambled(text) || told_key(text)
}

/// Accepts generated text, or an identifier.
pub(super) fn made_or_id(text: &[u8]) -> bool {
    made(text) || (is_uuid(text) && issued(text))
}

/// Accepts generated text with signs of several kinds, which words of a language do not have.
pub(super) fn signs(text: &[u8]) -> bool {
    let kinds = classes(text);
    let strange = text
        .iter()
        .filter(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_' | b'.' | b'/' | b':'))
        .count();
    kinds.digit > 0 && kinds.lower > 0 && strange >= 3 && entropy(text) >= 3.8 && !stands_in(text)
}

/// Names of methods and units in sentences about a password, and programs, machines and parts of books whose names look
/// like passwords there.
static NAMES: Begun<60> = Begun::new([
    b"sha",
    b"md5",
    b"base64",
    b"nist",
    b"pci",
    b"soc2",
    b"gdpr",
    b"fips",
    b"bcrypt",
    b"argon",
    b"pbkdf",
    b"utf",
    b"aes",
    b"char(",
    b"varchar",
    b"oauth",
    b"rfc",
    b"iso",
    b"min.",
    b"max.",
    b"http",
    b"www.",
    b"v1.",
    b"v2.",
    b"v3.",
    b"v1-",
    b"v2-",
    b"v3-",
    b"s3:",
    b"oidc",
    b"saml",
    b"x509",
    b"ed25519",
    b"rsa",
    b"tls1",
    b"string",
    b"windows",
    b"office",
    b"iphone",
    b"ipad",
    b"macbook",
    b"galaxy",
    b"keepass",
    b"ios1",
    b"ios2",
    b"macos",
    b"ubuntu",
    b"debian",
    b"python",
    b"postgres",
    b"mysql",
    b"web3",
    b"o365",
    b"m365",
    b"sqlserver",
    b"version",
    b"1password",
    b"chapter",
    b"section",
    b"page",
]);

/// Accepts a password in a sentence. Rejects dates, measures, addresses and names of methods.
pub(super) fn told_password(text: &[u8]) -> bool {
    trimmed(text).len() >= 8 && told_set_password(text)
}

/// Does the same where a sign or a word announces the password, and also accepts shorter ones.
pub(super) fn told_set_password(text: &[u8]) -> bool {
    let body = trimmed(text);
    let kinds = classes(body);
    let letters = kinds.lower + kinds.upper;
    let signed = body.iter().any(|byte| b"!#$%^&*?@".contains(byte));
    let address = body.contains(&b'@') && body.contains(&b'.') && !body.contains(&b'!');
    let file = body.iter().rposition(|byte| *byte == b'.').is_some_and(|at| {
        let (head, tail) = (body.get(..at).unwrap_or_default(), body.get(at + 1..).unwrap_or_default());
        (2..=5).contains(&tail.len())
            && tail.iter().all(u8::is_ascii_lowercase)
            && head.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    });
    // `8-stellig`, `12-character`: a number before a word is a measure.
    let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let measure = digits > 0
        && body.get(digits).is_some_and(|byte| matches!(byte, b'-' | b'.' | b'/' | b':'))
        && body.get(digits + 1..).unwrap_or_default().iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'/' | b':')
        });
    (6..=64).contains(&body.len())
        && password(body)
        && (kinds.digit > 0 || (kinds.other > 0 && (signed || runs_of(body) >= 3)))
        && letters >= 3
        && !address
        && !file
        && !measure
        && !is_ticket(body)
        && !NAMES.begin(body)
}

/// Matches the number of an order or a case: `ORD-13507928`.
pub(super) fn is_ticket(text: &[u8]) -> bool {
    let letters = text.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let number = text.get(letters..).and_then(|rest| rest.strip_prefix(b"-")).unwrap_or_default();
    (1..=5).contains(&letters) && number.len() >= 5 && number.iter().all(u8::is_ascii_digit)
}

/// Accepts small and capital letters with digits, or with signs that words do not have.
pub(super) fn strong_password(text: &[u8]) -> bool {
    let body = trimmed(text);
    let kinds = classes(body);
    let sign =
        body.iter().any(|byte| matches!(byte, b'!' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b'?' | b'@'));
    let all = kinds.lower > 0 && kinds.upper > 0 && kinds.digit > 0;
    let name = body.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let signed = sign && (kinds.digit > 0 || (kinds.upper > 0 && kinds.lower > 0 && runs_of(body) >= 3));
    told_password(text) && !name && (signed || (all && runs_of(body) >= 4)) && !is_uuid(body)
}

/// Accepts a chosen password in a sentence about it: small and capital letters with digits, or digits or capital
/// letters with a sign. Rejects names and versions of programs.
pub(super) fn chosen_password(text: &[u8]) -> bool {
    let body = trimmed(text);
    let kinds = classes(body);
    // A word at the end of a question or an exclamation has a sign as well.
    let inner =
        body.trim_ascii_end().strip_suffix(b"?").or(body.strip_suffix(b"!")).filter(|_| kinds.digit == 0);
    let signed = inner.unwrap_or(body).iter().any(|byte| b"!#$%^&*?@".contains(byte));
    let cased = kinds.lower > 0 && kinds.upper > 0;
    let version =
        body.windows(3).any(|part| matches!(part, [a, b'.', c] if a.is_ascii_digit() && c.is_ascii_digit()));
    let plain = signed || (cased && kinds.digit > 0);
    told_set_password(text) && (plain || linked_words(body)) && !version && !is_uuid(body)
}

/// Does the same in a sentence about a change, where a word and its number (`React17`) is more likely a version.
pub(super) fn changed_password(text: &[u8]) -> bool {
    let body = trimmed(text);
    chosen_password(text) && (runs_of(body) >= 3 || !body.iter().all(u8::is_ascii_alphanumeric))
}

/// Does the same directly after the word for the password, where a compound may follow: `password Reset-Guide-2024`.
pub(super) fn bare_password(text: &[u8]) -> bool {
    static TITLES: Begun<55> = Begun::new([
        b"polic",
        b"reset",
        b"guid",
        b"draft",
        b"rule",
        b"manual",
        b"manag",
        b"field",
        b"form",
        b"page",
        b"list",
        b"report",
        b"invoice",
        b"template",
        b"docu",
        b"change",
        b"hash",
        b"length",
        b"section",
        b"protect",
        b"ticket",
        b"view",
        b"input",
        b"generat",
        b"check",
        b"strength",
        b"expir",
        b"link",
        b"encrypt",
        b"auth",
        b"login",
        b"user",
        b"server",
        b"prod",
        b"test-",
        b"step",
        b"chapter",
        b"recover",
        b"type",
        b"column",
        b"table",
        b"valid",
        b"requir",
        b"less",
        b"based",
        b"only",
        b"free",
        b"hint",
        b"size",
        b"zeichen",
        b"stell",
        b"retry",
        b"attempt",
        b"version",
        b"update",
    ]);
    changed_password(text) && !TITLES.stand_in(text)
}

/// Accepts small words joined by signs, with a number at the end: `oslo-falcon_775`. With only one sign, a year or a
/// short number belongs to a file, a page or a release.
fn linked_words(text: &[u8]) -> bool {
    let pieces: Vec<&[u8]> = text.split(|byte| matches!(byte, b'-' | b'_' | b'.')).collect();
    let Some((number, words)) = pieces.split_last() else { return false };
    let mut signs = text.iter().filter(|byte| matches!(byte, b'-' | b'_' | b'.'));
    let first = signs.next();
    let usual =
        number.len() == 2 || (number.len() == 4 && (number.starts_with(b"19") || number.starts_with(b"20")));
    words.len() >= 2
        && words.iter().all(|word| word.len() >= 3 && word.iter().all(u8::is_ascii_lowercase))
        && (2..=4).contains(&number.len())
        && number.iter().all(u8::is_ascii_digit)
        && (!usual || signs.any(|sign| Some(sign) != first))
}

/// Does the same with a sign that names of programs and classes do not have.
pub(super) fn signed_password(text: &[u8]) -> bool {
    strong_password(text) && text.iter().any(|byte| b"!#$%^&*?@+=".contains(byte))
}

/// Accepts the argument of a command that takes a password, including letters only. Rejects the stand-ins of manuals.
pub(super) fn given_password(text: &[u8]) -> bool {
    static DULL: Begun<22> = Begun::new([
        b"pass",
        b"secret",
        b"pwd",
        b"yourpw",
        b"mypw",
        b"changeit",
        b"changeme",
        b"option",
        b"argument",
        b"example",
        b"prompt",
        b"string",
        b"required",
        b"parameter",
        b"credential",
        b"placeholder",
        b"kennwort",
        b"contrase",
        b"wachtwoord",
        b"value",
        b"stdin",
        b"token",
    ]);
    let dull = DULL.stand_in(text);
    let reference = text.first().is_some_and(|byte| b"$<{*[(-/@".contains(byte)) || is_format(text);
    let kinds = classes(text);
    let digits = kinds.digit >= 2 || (kinds.digit > 0 && kinds.lower > 0 && kinds.upper > 0);
    let shouted = kinds.lower == 0 && kinds.digit == 0;
    // With a digit in it, `changeMe0nMonday` may be a real password.
    let longer =
        digits && text.len() > 11 && !text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"your"));
    (6..=64).contains(&text.len())
        && !reference
        && !shouted
        && (password(text) || (if dull { longer } else { kinds.lower + kinds.upper >= 6 || digits }))
}

/// Words of ordinary sentences, and words that forms use about passphrases.
const FILLERS: &str = "the and with for from are was not your has must should which is to in on of it at be or as a an you \
    we this that can will use used enter please least characters words password passphrase same see \
    stored kept required here again wrong incorrect invalid user und der die das ist nicht ein eine im \
    den bitte le la les est un une de du el en es no y que per di il het een van w na do jest att och \
    som than more one long any my our his her their by if new old";

/// Accepts a passphrase: several words, none of them a word of ordinary sentences.
pub(super) fn passphrase(text: &[u8]) -> bool {
    let words: Vec<&[u8]> =
        text.split(|byte| matches!(byte, b' ' | b'-')).filter(|word| !word.is_empty()).take(12).collect();
    let plain = |word: &&[u8]| {
        word.len() >= 2
            && word.iter().all(u8::is_ascii_alphanumeric)
            && !FILLERS.split(' ').any(|filler| word.eq_ignore_ascii_case(filler.as_bytes()))
    };
    (3..=10).contains(&words.len()) && words.iter().all(plain) && !stands_in(text)
}

/// Accepts recovery codes: groups of letters and digits, or of digits, of at least eight characters in total.
pub(super) fn recovery_codes(text: &[u8]) -> bool {
    let codes: Vec<&[u8]> = text
        .split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
        .map(|code| code.strip_prefix(b"-").unwrap_or(code))
        .filter(|code| code.len() >= 4)
        .collect();
    let good = |code: &&&[u8]| {
        let kinds = classes(code);
        kinds.digit > 0 && kinds.digit + kinds.lower + kinds.upper >= 4
    };
    let letters = classes(text);
    !codes.is_empty()
        && codes.iter().filter(good).count() * 4 >= codes.len() * 3
        && codes.iter().any(|code| code.len() >= 8 || codes.len() > 1)
        && letters.digit >= 2
        && !stands_in(text)
        && !codes.iter().any(|code| is_uuid(code))
}

/// Removes the signs that end a sentence.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    let length =
        text.iter().rposition(|byte| !matches!(byte, b'.' | b',' | b';' | b':')).map_or(0, |at| at + 1);
    text.get(..length).unwrap_or_default()
}

/// Accepts the seed phrase of a wallet: twelve to twenty-four different words without those of ordinary sentences.
pub(super) fn seed_phrase(text: &[u8]) -> bool {
    const FILLERS: [&[u8]; 16] = [
        b"the", b"and", b"with", b"for", b"from", b"are", b"was", b"not", b"your", b"has", b"must",
        b"should", b"which", b"were", b"been", b"into",
    ];
    let words: Vec<&[u8]> =
        text.split(|byte| !byte.is_ascii_lowercase()).filter(|word| !word.is_empty()).take(25).collect();
    let mut known: Vec<&[u8]> = words.clone();
    known.sort_unstable();
    known.dedup();
    matches!(words.len(), 12 | 15 | 18 | 21 | 24)
        && known.len() + 2 >= words.len()
        && words.iter().all(|word| (3..=8).contains(&word.len()) && !FILLERS.contains(word))
}

/// Returns the Shannon entropy in bits per byte, over at most 256 bytes.
fn entropy(text: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    let mut total = 0.0_f32;
    for byte in text.iter().take(256) {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
        total += 1.0;
    }
    let share = |count: &u16| f32::from(*count) / total;
    // WHY: most counts are of bytes that do not occur.
    let here = Bytes::in_text(text.get(..256).unwrap_or(text));
    let counts = here.iter().filter_map(|byte| counts.get(usize::from(byte)));
    counts.map(share).map(|share| -share * share.log2()).sum()
}

pub(super) struct Classes {
    pub(super) lower: usize,
    pub(super) upper: usize,
    pub(super) digit: usize,
    pub(super) other: usize,
}

pub(super) fn classes(text: &[u8]) -> Classes {
    let count = |is: fn(&u8) -> bool| text.iter().filter(|byte| is(byte)).count();
    Classes {
        lower: count(u8::is_ascii_lowercase),
        upper: count(u8::is_ascii_uppercase),
        digit: count(u8::is_ascii_digit),
        other: count(|byte| !byte.is_ascii_alphanumeric()),
    }
}

/// Accepts generated random text of at least 16 bytes.
pub(super) fn random(text: &[u8]) -> bool {
    let classes = classes(text);
    let hex = text.iter().all(u8::is_ascii_hexdigit);
    let floor = if hex { 2.6 } else { 3.3 };
    let mixed = classes.digit > 0 && (classes.lower > 0 || classes.upper > 0);
    text.len() >= 16
        && mixed
        && entropy(text) >= floor
        && !stands_in(text)
        && !is_uuid(text)
        && !is_path_in_code(text)
}

/// Accepts mixed letters and digits that are not a stand-in, after a prefix that already identifies the secret.
pub(super) fn mixed(text: &[u8]) -> bool {
    let classes = classes(text);
    let kinds = [classes.lower, classes.upper, classes.digit].iter().filter(|count| **count > 0).count();
    kinds >= 2 && entropy(text) >= 2.3 && !stands_in(text)
}

/// Accepts the base32 seed of one-time codes: with digits, or with letters in an order that no word has.
pub(super) fn otp_seed(text: &[u8]) -> bool {
    let letters = text.iter().all(u8::is_ascii_uppercase);
    let vowel = |byte: &u8| matches!(byte, b'A' | b'E' | b'I' | b'O' | b'U' | b'Y');
    let harsh = || text.split(vowel).any(|run| run.len() >= 4);
    mixed(text)
        || (letters && matches!(text.len(), 16 | 20 | 24 | 26 | 32 | 52 | 64) && harsh() && !stands_in(text))
}

/// Accepts a password that a person or a generator sets, as far as it differs from a word of the language.
pub(super) fn password(text: &[u8]) -> bool {
    let bare = closed(text);
    let classes = classes(bare);
    let letters = classes.lower + classes.upper;
    let reference =
        text.first().is_some_and(|byte| matches!(byte, b'$' | b'<' | b'{' | b'*' | b'(')) || is_format(text);
    let varied = (classes.digit > 0 && letters > 0)
        || (classes.other > 0 && letters > 0 && classes.lower > 0 && classes.upper > 0);
    if !(6..=128).contains(&text.len()) || !varied || reference {
        return false;
    }
    let path = text.starts_with(b"/") || text.windows(3).any(|window| window == b"://");
    let whole = trimmed(text);
    let call =
        (whole.ends_with(b")") && text.contains(&b'(')) || (whole.ends_with(b"]") && text.contains(&b'['));
    !path
        && !call
        && !is_begun_call(whole)
        && !is_path_of_names(whole)
        && !names_a_secret(bare)
        && entropy(text) >= 2.2
        && !stands_in(text)
}

/// Removes closing brackets and signs that belong to the surrounding sentence or call.
fn closed(text: &[u8]) -> &[u8] {
    let open = text.iter().any(|byte| matches!(byte, b'(' | b'[' | b'{'));
    let ends = |byte: &u8| {
        matches!(byte, b'.' | b',' | b';' | b':') || (!open && matches!(byte, b')' | b']' | b'}'))
    };
    let length = text.iter().rposition(|byte| !ends(byte)).map_or(0, |at| at + 1);
    text.get(..length).unwrap_or_default()
}

/// Matches a variable in code: `s3Client`, `oauth2Token`. WHY: only names of technologies may contain the number, since
/// people choose passwords such as `tiger7Secret`.
fn names_a_secret(text: &[u8]) -> bool {
    const TECHNIQUES: [&[u8]; 14] = [
        b"s3", b"ec2", b"oauth2", b"auth0", b"k8s", b"db1", b"db2", b"x509", b"http2", b"web3", b"n8n",
        b"r2", b"b2", b"v2",
    ];
    const ENDS: [&[u8]; 8] =
        [b"Token", b"Key", b"Secret", b"Password", b"Pwd", b"Client", b"Credential", b"Credentials"];
    let plain = |begin: &&[u8]| {
        text.strip_prefix(*begin).is_some_and(|rest| rest.iter().all(u8::is_ascii_alphabetic))
    };
    TECHNIQUES.iter().any(plain) && ENDS.iter().any(|end| text.ends_with(end))
}

/// Matches a per cent sign of a format (`%s`, `%DB_PASSWORD%`, `%20`), but not one that begins a password.
fn is_format(text: &[u8]) -> bool {
    text.strip_prefix(b"%").is_some_and(|rest| {
        !rest.first().is_some_and(u8::is_ascii_alphabetic) || rest.contains(&b'%') || rest.contains(&b'(')
    })
}

/// Matches names in code joined by dots, each with letters of one case and at most a short number at its end.
fn is_path_in_code(text: &[u8]) -> bool {
    let is_name = |name: &[u8]| {
        let letters = name.iter().take_while(|byte| !byte.is_ascii_digit());
        let (length, one) = (letters.clone().count(), |is: fn(&u8) -> bool| letters.clone().all(is));
        let case = one(|byte| byte.is_ascii_lowercase() || *byte == b'_')
            || one(|byte| byte.is_ascii_uppercase() || *byte == b'_');
        let number = name.get(length..).unwrap_or_default();
        length >= 2 && case && number.len() <= 3 && number.iter().all(u8::is_ascii_digit)
    };
    text.contains(&b'.') && text.split(|byte| *byte == b'.').all(is_name)
}

/// Matches a call that continues after the value: `Field(min_length=8`, `Annotated[str`.
fn is_begun_call(text: &[u8]) -> bool {
    let Some(open) = text.iter().position(|byte| matches!(byte, b'(' | b'[')) else { return false };
    let (name, inside) = (text.get(..open).unwrap_or_default(), text.get(open + 1..).unwrap_or_default());
    let word = |text: &[u8]| {
        text.first().is_some_and(u8::is_ascii_alphabetic)
            && text.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.'))
    };
    let given = inside.split(|byte| matches!(byte, b'=' | b':')).next().unwrap_or_default();
    word(name) && word(given)
}

/// Matches references in code: three or more names joined by dots, a call with two of them, or two of them that have no
/// digit or include the name of a secret.
fn is_path_of_names(text: &[u8]) -> bool {
    let head = text.split(|byte| *byte == b'(').next().unwrap_or_default();
    let called = head.len() < text.len();
    let is_name = |name: &[u8]| {
        name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let names = head.split(|byte| *byte == b'.').count();
    let secret = || {
        let plain = !head.iter().any(u8::is_ascii_digit);
        plain || head.windows(8).any(|part| part.eq_ignore_ascii_case(b"password"))
    };
    (names >= 3 || (names == 2 && (called || secret()))) && head.split(|byte| *byte == b'.').all(is_name)
}

/// Accepts a quoted password: a few words, one of which has the form of a password.
pub(super) fn quoted_password(text: &[u8]) -> bool {
    const MOST_SPACES: usize = 3;
    let spaces = text.iter().filter(|byte| **byte == b' ').count();
    let words = || text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mixed = |word: &[u8]| {
        let classes = classes(word);
        classes.digit > 0 && classes.lower + classes.upper >= 3
    };
    if spaces == 0 { password(text) } else { spaces <= MOST_SPACES && password(text) && words().any(mixed) }
}

/// Accepts any text that is not a reference or a stand-in, at a place where only a password can be.
pub(super) fn set_password(text: &[u8]) -> bool {
    let reference =
        text.first().is_some_and(|byte| matches!(byte, b'$' | b'<' | b'{' | b'*' | b'[')) || is_format(text);
    let dull = [&b"password"[..], b"pass", b"secret", b"pwd", b"user", b"port"];
    text.len() >= 3
        && !reference
        && !stands_in(text)
        && !dull.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Checks three parts, the first two of which are JSON in base64.
pub(super) fn jwt(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'.');
    let json = |part: Option<&[u8]>| part.is_some_and(|part| part.starts_with(b"eyJ") && part.len() > 8);
    json(parts.next()) && json(parts.next())
}

pub(super) fn is_uuid(text: &[u8]) -> bool {
    let groups = || text.split(|byte| *byte == b'-').map(<[u8]>::len);
    text.len() == 36
        && groups().eq([8, 4, 4, 4, 12])
        && text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_is_one_and_a_reference_or_an_example_is_not() {
        assert!(password(b"hunter2"));
        assert!(password(b"Tr0ub4dor&3"));
        assert!(password(b"correct-Horse"));
        assert!(quoted_password(b"Sunny9Day Otter"));
        assert!(!quoted_password(b"Please enter your Password"));
        assert!(!quoted_password(b"At least 8 characters"));
        for no in [
            "${DB_PASSWORD}",
            "<password>",
            "required",
            "yourpassword1your_",
            "xxxxxxxx1",
            "getpass()",
            "secret",
        ] {
            assert!(!password(no.as_bytes()), "{no}");
        }
        assert!(password(b"%Thunder&6869") && password(b"tiger7Secret"));
        for no in [
            "Field(min_length=8",
            "Annotated[str",
            "table.Column",
            "user.password_sha256",
            "settings.Password2",
        ] {
            assert!(!password(no.as_bytes()), "{no}");
        }
        for yes in ["Tr0ub(dor3x9", "Sunny.Day42", "a(b1c2d3", "K9[x7Qm2"] {
            assert!(password(yes.as_bytes()), "{yes}");
        }
        assert!(random(b"zQ3.k8Lm2xT9.wP5rN7vB"));
        assert!(!random(b"import.meta.env.VITE_API_KEY_2") && !random(b"pyotp.random_base32"));
        for no in ["%DB_PASSWORD_2%", "%-10sx1", "%20hunter2", "ciRunnerToken)", "s3Client", "oauth2Token;"] {
            assert!(!password(no.as_bytes()), "{no}");
        }
        for yes in ["oslo-falcon_775", "winter.mango.699", "copper_otter-2019"] {
            assert!(chosen_password(yes.as_bytes()), "{yes}");
        }
        assert!(changed_password(b"Dragon_6701") && !changed_password(b"React17"));
        for no in ["invoice-list-2026", "reset-link-12", "ORD-13507928", "step-2-of-3", "order-form.docx"] {
            assert!(!chosen_password(no.as_bytes()), "{no}");
        }
        assert!(otp_seed(b"XSQPUNQUFGOUUQIE"));
        assert!(!otp_seed(b"INTERNATIONALITY"));
        assert!(random(b"b882c4f9b7192e0e4e1d617fc4cc3bfe"));
        assert!(!random(b"1cde1ed5-be2d-4a40-b0d3-0131a849ff66"));
        assert!(!random(b"AbstractProxyFactoryManager"));
    }
}
