//! A mention: one id, number, sum, date, address or quotation in a message.

/// A mention in a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mention {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Text as written.
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// Kind of a mention.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Quoted words, without the quotation marks.
    Quoted(String),
    /// A mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A day, as `YYYY-MM-DD`.
    Date(String),
    /// The first or the last day of a period such as `last month`.
    Bound(String, End),
    /// An amount of money, if it can be read in only one way, and its currency, if it names one.
    Money { amount: Option<f64>, currency: Option<&'static str> },
    /// A percentage.
    Percent(f64),
    /// A number of minutes, hours, days, …: the number and the singular of the unit.
    Span(u64, &'static str),
    /// Letters and digits, or words joined by `-` or `_`: `ORD-1042`, `SAVE10`, `dark_mode`.
    Code,
    /// A plain number; `#17` is a marked one.
    Number { value: f64, marked: bool },
}

/// Which end of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}
