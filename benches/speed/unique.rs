//! That no id came twice, over all a section drew.

use meridian::census::{Bounds, Census};
use meridian::id::{IdRange, SNOWFLAKE64};

pub struct Unique {
    census: Census,
}

impl Unique {
    pub fn new() -> Unique {
        Unique { census: Census::new(SNOWFLAKE64, Bounds::default(), std::env::temp_dir()) }
    }

    pub fn add(&mut self, ids: impl IntoIterator<Item = u64>) {
        for first in ids {
            assert!(SNOWFLAKE64.decode(first).is_some(), "{first} is no id");
            self.census.add(IdRange { first, count: 1 }).expect("room for the count");
        }
    }

    /// # Panics
    /// If one did.
    pub fn check(self) {
        let tally = self.census.finish().expect("room for the count");
        assert_eq!(tally.duplicates, 0, "ids were given twice: {:?}", tally.examples);
    }
}
