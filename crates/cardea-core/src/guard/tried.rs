//! Remembers what each row has looked at, so that none looks at the same place twice.

use std::ops::Range;

/// What a row need not look at again. Places are as [`tried_at`] makes them.
#[derive(Clone, Default)]
pub(super) struct Looked {
    /// The place that it last looked from.
    pub(super) place: u32,
    /// The value for which its labels were last looked at.
    pub(super) asked: u32,
    /// What its last grown finding covers.
    pub(super) grown: Range<u32>,
}

/// The same for all rows.
///
/// WHY: there are hundreds of rows and most texts wake a few, so only those get a place.
pub(super) struct Tried {
    /// Where the row's own stands, plus one.
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

    /// A walk over the text begins anew.
    pub(super) fn forget_places(&mut self) {
        self.looked.iter_mut().for_each(|looked| looked.place = 0);
    }
}

/// A place in a text as [`Tried`] has it.
pub(super) fn tried_at(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX - 1) + 1
}
