//! Arguments of statements, and columns of rows.

use cardea_core::{
    id::{
        AgentName, ApprovalId, ClientId, ConversationId, DecisionId, EntryId, KeyId, MessageId, RequestId,
        SecretId, StepId, TenantId, ToolName, TurnId, UserId,
    },
    time::{Millis, Timestamp},
};

/// One argument of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// An integer; booleans are 0 and 1, points in time are milliseconds.
    Int(i64),
    /// A floating point number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One column of a row, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// An integer.
    Int(i64),
    /// A floating point number.
    Real(f64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// Builds the arguments of a statement: `args![tenant, id, 5]` stands for `$1`, `$2`, `$3`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl From<$type> for Value {
            fn from(number: $type) -> Self { Self::Int(i64::from(number)) }
        }
    )*};
}
numbers!(i64, i32, u32, u16, u8, bool);

impl From<u64> for Value {
    /// Numbers above `i64::MAX` become `i64::MAX`: no counter of Cardea gets there.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl From<[u8; 32]> for Value {
    fn from(bytes: [u8; 32]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Int(at.0)
    }
}

impl From<Millis> for Value {
    fn from(length: Millis) -> Self {
        Self::from(length.0)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! texts {
    ($($type:ty),*) => {$(
        impl From<$type> for Value {
            fn from(id: $type) -> Self { Self::Text(id.to_string()) }
        }
        impl From<&$type> for Value {
            fn from(id: &$type) -> Self { Self::Text(id.to_string()) }
        }
    )*};
}
texts!(
    AgentName,
    ApprovalId,
    ClientId,
    ConversationId,
    DecisionId,
    EntryId,
    KeyId,
    MessageId,
    RequestId,
    SecretId,
    StepId,
    TenantId,
    ToolName,
    TurnId,
    UserId
);

/// Error for a row, or a column of it, that differs from what the reader expects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// There are fewer columns.
    #[error("the row has no column {0}")]
    Missing(usize),
    /// The column has another type.
    #[error("column {column} is not {wanted}")]
    Type {
        /// Index of the column, from 0.
        column: usize,
        /// The expected type.
        wanted: &'static str,
    },
}

/// Source of the columns of a [`Row`]: one implementation per engine.
pub(crate) trait Columns {
    fn cell(&self, column: usize) -> Result<Cell<'_>, RowError>;
}

/// One row of an answer.
pub struct Row<'a>(pub(crate) &'a dyn Columns);

impl Row<'_> {
    /// Returns the column with this index, counted from 0.
    ///
    /// # Errors
    /// If it is missing or of another type.
    pub fn get<T: FromCell>(&self, column: usize) -> Result<T, RowError> {
        T::from_cell(self.0.cell(column)?).ok_or(RowError::Type { column, wanted: T::WANTED })
    }
}

impl<'a> Row<'a> {
    /// Returns the columns in order, for rows with many columns.
    #[must_use]
    pub fn in_order(&self) -> InOrder<'a> {
        InOrder { row: self.0, next: 0 }
    }
}

/// The columns of a row, from the first on.
pub struct InOrder<'a> {
    row: &'a dyn Columns,
    next: usize,
}

impl InOrder<'_> {
    /// Returns the next column.
    ///
    /// # Errors
    /// If it is missing or of another type.
    pub fn take<T: FromCell>(&mut self) -> Result<T, RowError> {
        self.next += 1;
        Row(self.row).get(self.next - 1)
    }
}

impl std::fmt::Debug for InOrder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InOrder")
    }
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row")
    }
}

/// A type that a column can be converted to.
pub trait FromCell: Sized {
    /// Name of the type, for the error.
    const WANTED: &'static str;
    /// Converts the value; `None` if the column holds something else.
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

macro_rules! from_cell {
    ($($type:ty, $wanted:literal, $($pattern:pat => $value:expr),+;)*) => {$(
        impl FromCell for $type {
            const WANTED: &'static str = $wanted;
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell { $($pattern => $value,)+ _ => None }
            }
        }
    )*};
}
from_cell! {
    i64, "a whole number", Cell::Int(n) => Some(n);
    u64, "a whole number from 0", Cell::Int(n) => Self::try_from(n).ok();
    u32, "a whole number from 0 to 4294967295", Cell::Int(n) => Self::try_from(n).ok();
    usize, "a whole number from 0", Cell::Int(n) => Self::try_from(n).ok();
    bool, "0 or 1", Cell::Int(0) => Some(false), Cell::Int(1) => Some(true);
    f64, "a number", Cell::Real(n) => Some(n), Cell::Int(n) => Some(n as Self);
    String, "a text", Cell::Text(text) => Some(text.to_owned());
    Vec<u8>, "bytes", Cell::Blob(bytes) => Some(bytes.to_vec());
    [u8; 32], "32 bytes", Cell::Blob(bytes) => bytes.try_into().ok();
    Timestamp, "a point in time", Cell::Int(ms) => Some(Self(ms));
    Millis, "a length of time", Cell::Int(ms) => u64::try_from(ms).ok().map(Self);
}

macro_rules! ids_from_cell {
    ($($type:ty),*) => {$(
        impl FromCell for $type {
            const WANTED: &'static str = "an id of the right kind";
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell { Cell::Text(text) => text.parse().ok(), _ => None }
            }
        }
    )*};
}
ids_from_cell!(
    ApprovalId,
    ConversationId,
    DecisionId,
    EntryId,
    KeyId,
    MessageId,
    RequestId,
    SecretId,
    StepId,
    TurnId
);

macro_rules! names_from_cell {
    ($($type:ty),*) => {$(
        impl FromCell for $type {
            const WANTED: &'static str = "a name";
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell { Cell::Text(text) => Some(Self::from(text)), _ => None }
            }
        }
    )*};
}
names_from_cell!(AgentName, ClientId, TenantId, ToolName, UserId);

impl<T: FromCell> FromCell for Option<T> {
    const WANTED: &'static str = T::WANTED;
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            other => T::from_cell(other).map(Some),
        }
    }
}

/// A type that a row can be converted to. Tuples of columns are; rooms implement it for their own structs.
pub trait FromRow: Sized + Send + 'static {
    /// Reads the row.
    ///
    /// # Errors
    /// If a column is missing or of another type.
    fn from_row(row: &Row<'_>) -> Result<Self, RowError>;
}

macro_rules! tuples {
    ($($name:ident $place:literal),*) => {
        impl<$($name: FromCell + Send + 'static),*> FromRow for ($($name,)*) {
            fn from_row(row: &Row<'_>) -> Result<Self, RowError> {
                Ok(($(row.get::<$name>($place)?,)*))
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
