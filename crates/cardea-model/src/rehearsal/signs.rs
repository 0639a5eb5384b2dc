//! Words that speak against an action, in English; of other languages the most common ones, so that a refusal is
//! recognised.

/// Words that forbid.
pub(super) const NOT: &[&str] = &[
    "not", "never", "cannot", "dont", "doesnt", "didnt", "wont", "cant", "shouldnt", "wouldnt", "mustnt",
    "isnt", "arent", "wasnt", "nobody", "nothing", "none", "neither", "nor", "without", "instead", "rather",
    "refrain", "avoid", "except", "forget", "nicht", "nie", "niemals", "kein", "keine", "keinen", "nunca",
    "jamais", "pas", "niet", "geen", "não", "wrong",
];
/// Words of undoing.
pub(super) const UNDOING: &[&str] =
    &["undo", "undoing", "undone", "revert", "reverted", "reverse", "reversal", "rollback", "unrefund"];
/// Words of withdrawing, unless the tool itself does that: `cancel` for a tool that refunds.
pub(super) const TAKING_BACK: &[&str] = &[
    "cancel", "stop", "withdraw", "revoke", "remove", "delete", "retract", "drop", "abort", "void", "erase",
];
/// Words between a verb and its object.
pub(super) const POINTING: &[&str] =
    &["the", "that", "this", "these", "those", "my", "our", "a", "last", "all", "any"];
/// Completed actions, as stems: undoing one is different from doing it.
pub(super) const DEEDS: &[&str] = &[
    "refund",
    "discount",
    "note",
    "comment",
    "escalation",
    "assignment",
    "update",
    "change",
    "payment",
    "credit",
];
/// Words of conditions, or that leave it open.
pub(super) const CONDITIONS: &[&str] = &[
    "if",
    "unless",
    "whenever",
    "when",
    "once",
    "assuming",
    "provided",
    "providing",
    "suppose",
    "supposing",
    "otherwise",
    "depending",
    "or",
    "either",
    "maybe",
    "perhaps",
    "possibly",
    "might",
    "hypothetically",
    "imagine",
    "pretend",
    "wenn",
    "falls",
    "sobald",
    "oder",
    "vielleicht",
];
/// Units of time.
pub(super) const UNITS: &[&str] = &["minute", "hour", "day", "week", "month", "quarter", "year"];
/// Words that report what someone said or did, or that introduce an example.
pub(super) const REPORTS: &[&str] = &[
    "said",
    "says",
    "told",
    "tells",
    "wrote",
    "writes",
    "claims",
    "claimed",
    "heard",
    "according",
    "thinks",
    "thought",
    "suggested",
    "suggests",
    "believes",
    "mentioned",
    "asked",
    "asks",
    "allegedly",
    "supposedly",
    "apparently",
    "already",
    "sagt",
    "example",
    "poem",
    "story",
    "joke",
    "song",
    "essay",
    "sagte",
    "schrieb",
];
/// Words of a question at any position in it.
pub(super) const WONDERING: &[&str] =
    &["whether", "wonder", "wondering", "explain", "possible", "allowed", "curious"];
/// First words of a question.
pub(super) const QUESTIONS: &[&str] = &[
    "what", "whats", "where", "when", "who", "whose", "whom", "which", "how", "why", "is", "are", "am",
    "does", "did", "has", "have", "had", "was", "were", "any", "should", "shall", "may", "must", "might",
    "soll", "sollte", "sollen", "darf", "dürfen", "kann", "können", "wer", "warum", "wann", "wurde", "hast",
];
/// First words of a question after a comma.
pub(super) const LATE_QUESTIONS: &[&str] =
    &["should", "shall", "may", "did", "does", "was", "were", "has", "have"];
/// Words after `can you …` that ask for information and not for an action.
pub(super) const TELLING: &[&str] = &[
    "know",
    "explain",
    "confirm",
    "see",
    "verify",
    "check",
    "guess",
    "recommend",
    "advise",
    "suggest",
    "think",
    "say",
    "want",
    "like",
    "prefer",
    "rather",
    "have",
];
/// Words before the actual request.
pub(super) const OPENERS: &[&str] = &[
    "please", "hey", "hi", "hello", "ok", "okay", "so", "and", "then", "well", "now", "sorry", "kindly",
    "just", "also", "but", "thanks", "thank", "or", "yes",
];
/// First words of a clause that only says how things are: `the customer is not happy`.
pub(super) const STATING: &[&str] = &[
    "the", "his", "her", "their", "its", "it", "he", "she", "they", "customer", "client", "there", "parcel",
];
/// Words that such a clause must not contain: it is then about what may be done.
pub(super) const ABOUT_DOING: &[&str] = &[
    "allow",
    "allowed",
    "allows",
    "approve",
    "approved",
    "permitted",
    "ok",
    "okay",
    "yet",
    "sure",
    "correct",
    "right",
    "do",
    "done",
    "that",
    "this",
    "we",
    "i",
    "you",
    "should",
    "must",
    "may",
];
