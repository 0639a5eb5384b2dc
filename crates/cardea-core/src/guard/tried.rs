//! Records the places that each row has examined, so that none is examined twice.

use std::ops::Range;

/// State of one row. Places are made by [`tried_at`].
#[derive(Clone, Default)]
pub(super) struct Looked {
    /// The last place that it examined.
    pub(super) place: u32,
    /// The value whose labels were examined last.
    pub(super) asked: u32,
    /// Range that its last extended finding covers.
    pub(super) grown: Range<u32>,
}

/// State of all rows.
///
/// WHY: there are hundreds of rows and most texts wake a few, so only those get an entry.
pub(super) struct Tried {
    /// Index of the row's entry, plus one.
    places: Vec<u16>,
    looked: Vec<Looked>,
}

impl Tried {
    pub(super) fn new(rows: usize) -> Self {
        Self { places: vec![0; rows], looked: Vec::new() }
    }

    pub(super) fn of(&mut self, row: u16) -> Option<&mut Looked> {
        let place = self.places.get_mut(usize::from(row))?;
        if *place == 0 {
            self.looked.push(Looked::default());
            *place = u16::try_from(self.looked.len()).ok()?;
        }
        self.looked.get_mut(usize::from(*place) - 1)
    }

    /// Resets the places before another pass over the text.
    pub(super) fn forget_places(&mut self) {
        self.looked.iter_mut().for_each(|looked| looked.place = 0);
    }
}

/// Converts an offset to the form that [`Tried`] stores.
pub(super) fn tried_at(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX - 1) + 1
}
