//! Checks that know words: what is no name, no mailbox, no country.

/// Capital words that follow `customer`, `name` or `Mr` and are nobody's name.
const NOBODY: &[&str] = &[
    "account",
    "address",
    "admin",
    "administrator",
    "agreement",
    "app",
    "area",
    "basic",
    "billing",
    "care",
    "center",
    "centre",
    "chairman",
    "company",
    "contract",
    "daily",
    "data",
    "default",
    "department",
    "desk",
    "details",
    "editor",
    "email",
    "engineering",
    "error",
    "experience",
    "feedback",
    "file",
    "form",
    "found",
    "garden",
    "group",
    "guide",
    "hose",
    "hotel",
    "house",
    "info",
    "information",
    "invalid",
    "invoice",
    "journey",
    "limited",
    "list",
    "manager",
    "manual",
    "marketing",
    "missing",
    "monthly",
    "not",
    "number",
    "office",
    "operations",
    "order",
    "page",
    "pending",
    "plan",
    "policy",
    "portal",
    "premium",
    "president",
    "product",
    "project",
    "relations",
    "relationship",
    "report",
    "required",
    "resources",
    "review",
    "sales",
    "satisfaction",
    "security",
    "service",
    "services",
    "speaker",
    "standard",
    "status",
    "success",
    "support",
    "system",
    "team",
    "type",
    "unknown",
    "update",
    "weekly",
];

/// A person's name, as far as none of its words says that it is something else.
pub(super) fn person(text: &[u8]) -> bool {
    let mut words = text.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty()).peekable();
    let nobody = |word: &[u8]| NOBODY.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    words.peek().is_some() && !words.any(nobody)
}

/// The user of a machine in an address for programs, such as `git@host:path`, is nobody's mailbox.
pub(super) fn mailbox(text: &[u8]) -> bool {
    !text.is_empty() && !text.starts_with(b"git@") && !text.starts_with(b"hg@")
}

/// Codes of countries and territories (ISO 3166-1), and Kosovo's, which banks use.
const COUNTRIES: &str = "ADAEAFAGAIALAMAOARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBRBSBTBWBYBZCACDCFCGCHCICKCLCMCNCOCRCUCVCWCYCZ\
    DEDJDKDMDODZECEEEGERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGTGUGWGYHKHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKH\
    KIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPF\
    PGPHPKPLPMPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISKSLSMSNSOSRSSSTSVSXSYSZTCTDTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUSUYUZVAVC\
    VEVGVIVNVUWFWSXKYEYTZAZMZW";

/// A bank identifier whose country is one.
pub(super) fn swift(text: &[u8]) -> bool {
    let known = |code: &[u8]| COUNTRIES.as_bytes().chunks_exact(2).any(|country| country == code);
    text.get(4..6).is_some_and(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_desk_is_nobody_and_a_code_without_a_country_is_no_bank() {
        assert!(person(b"Hannah O'Brien") && !person(b"Support Desk") && !person(b""));
        assert!(mailbox(b"gita@example.com") && !mailbox(b"git@github.com"));
        assert!(swift(b"COBADEFFXXX") && !swift(b"PAYMENTS") && !swift(b"COBA"));
        assert!(COUNTRIES.len().is_multiple_of(2) && COUNTRIES.as_bytes().chunks_exact(2).is_sorted());
    }
}
