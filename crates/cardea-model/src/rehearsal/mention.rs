//! One id, number, sum, date, address or quotation in a message.

/// One thing that a message mentions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mention {
    pub(super) start: usize,
    pub(super) end: usize,
    /// As it was written.
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// What kind of thing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Words in quotation marks, without them.
    Quoted(String),
    /// A mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A day, as `YYYY-MM-DD`.
    Date(String),
    /// The first or the last day of a time such as `last month`.
    Bound(String, End),
    /// An amount of money, if it can be read in one way, and its currency, if it names one.
    Money { amount: Option<f64>, currency: Option<&'static str> },
    /// A share of a hundred.
    Percent(f64),
    /// So many minutes, hours, days, …: the number and the unit's singular.
    Span(u64, &'static str),
    /// Letters and digits, or words joined by `-` or `_`: `ORD-1042`, `SAVE10`, `dark_mode`.
    Code,
    /// A plain number; `#17` is one with a mark.
    Number { value: f64, marked: bool },
}

/// Which end of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}
