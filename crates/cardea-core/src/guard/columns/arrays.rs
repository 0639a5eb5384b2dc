//! Tables in JSON: arrays of rows with column names in the first row or in a list next to them, and values with a name
//! next to them.

use std::ops::Range;

use serde_json::Value;

use super::made::{Made, Reads};
use crate::guard::{
    headers::{Headers, Labels},
    normalize::View,
    value::Parts,
};

/// Maximum number of lists of names, and of tables without names, that are kept at a time.
const MOST: usize = 64;

/// Members that hold the name of a column or a value, in answers of common services.
const NAME: [&str; 10] =
    ["name", "Name", "label", "field", "title", "column", "column_name", "columnName", "key", "Key"];

/// Members that hold the value.
const VALUE: [&str; 2] = ["value", "Value"];

/// Calls back with the cells of all tables of a value under their labels, as [`super::columns`] does for a text. The
/// view is of the text that the value was converted to; the ranges are those of its parts.
pub(in super::super) fn arrays(
    read: Parts<'_>,
    view: &View<'_>,
    headers: &Headers,
    late: &dyn Fn() -> bool,
    reads: Reads<'_>,
) -> Option<()> {
    let made = Made::new(view, headers, late, reads);
    let mut walk = Walk { parts: read.parts.iter(), made, names: Vec::new(), tables: Vec::new() };
    walk.value(read.value)?;
    walk.settle((0, 0))?;
    walk.made.hand_over()
}

/// Returns whether a value contains an array of arrays, or a value with a name next to it.
pub(in super::super) fn has_cells(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.first().is_some_and(Value::is_array) || items.iter().any(has_cells),
        Value::Object(members) => {
            members.keys().any(|key| VALUE.contains(&key.as_str())) || members.values().any(has_cells)
        }
        _ => false,
    }
}

/// Possible column names of a table, with their labels.
struct Names {
    count: usize,
    labels: Option<Labels>,
}

struct Walk<'p, 'a, 'v, 'r> {
    parts: std::slice::Iter<'p, Range<usize>>,
    made: Made<'a, 'v, 'r>,
    /// Names and tables that no enclosing object has joined yet.
    names: Vec<Names>,
    tables: Vec<Vec<Vec<Range<usize>>>>,
}

impl Walk<'_, '_, '_, '_> {
    /// Returns the range of the next part in the view.
    fn part(&mut self) -> Range<usize> {
        let part = self.parts.next().cloned().unwrap_or_default();
        self.made.view.forth(part.start)..self.made.view.forth(part.end)
    }

    /// Visits a value. Returns the range of its text: its own, or that of the name in an object.
    fn value(&mut self, value: &Value) -> Option<Range<usize>> {
        match value {
            Value::String(_) | Value::Number(_) => Some(self.part()),
            Value::Array(items) => {
                self.array(items)?;
                Some(0..0)
            }
            Value::Object(members) => {
                let open = (self.names.len(), self.tables.len());
                let (mut name, mut cell) = (0..0, 0..0);
                for (key, member) in members {
                    self.part();
                    let place = self.value(member)?;
                    if member.is_string() && NAME.contains(&key.as_str()) {
                        name = place;
                    } else if (member.is_string() || member.is_number()) && VALUE.contains(&key.as_str()) {
                        cell = place;
                    }
                }
                self.settle(open)?;
                if !cell.is_empty() && !name.is_empty() {
                    let labels = self.made.headers.labels(&self.made.view.text, std::slice::from_ref(&name));
                    labels.map_or(Some(()), |labels| self.made.row(&labels, &[cell]))?;
                }
                Some(name)
            }
            Value::Null | Value::Bool(_) => Some(0..0),
        }
    }

    fn array(&mut self, items: &[Value]) -> Option<()> {
        if !items.is_empty() && items.iter().all(Value::is_array) {
            let mut rows = Vec::new();
            for row in items.iter().filter_map(Value::as_array) {
                rows.push(row.iter().map(|cell| self.value(cell)).collect::<Option<_>>()?);
            }
            self.tables.push(rows);
            return Some(());
        }
        let names: Vec<_> = items.iter().map(|item| self.value(item)).collect::<Option<_>>()?;
        let is_name = |(item, name): (&Value, &Range<usize>)| {
            item.is_string() || (item.is_object() && !name.is_empty())
        };
        if items.iter().zip(&names).all(is_name) && !names.is_empty() {
            let labels = self.made.headers.labels(&self.made.view.text, &names);
            self.names.push(Names { count: names.len(), labels });
        }
        Some(())
    }

    /// Reads the tables since a mark whose names are in the same object, or in their first row.
    fn settle(&mut self, (names, tables): (usize, usize)) -> Option<()> {
        let mut without = Vec::new();
        for rows in self.tables.split_off(tables) {
            let count = rows.first().map_or(0, Vec::len);
            let first = rows.first().and_then(|first| self.made.headers.labels(&self.made.view.text, first));
            if let Some(labels) = first {
                self.read(&labels, rows.get(1..).unwrap_or_default())?;
                continue;
            }
            let known = self.names.get(names..).unwrap_or_default().iter().take(MOST);
            let mut fits = known.filter(|names| names.count == count).peekable();
            if fits.peek().is_none() {
                without.push(rows);
            } else if let Some(labels) = fits.find_map(|names| names.labels.clone()) {
                self.read(&labels, &rows)?;
            }
        }
        // INVARIANT: the number that enclosing objects examine again is bounded.
        self.tables.extend(without.into_iter().take(MOST));
        self.names.truncate(names + MOST);
        Some(())
    }

    fn read(&mut self, labels: &Labels, rows: &[Vec<Range<usize>>]) -> Option<()> {
        rows.iter().try_for_each(|row| self.made.row(labels, row))
    }
}
