//! The lenient way to read an answer, for one in which a field has a type other than expected.
//!
//! The fast way reads straight from the bytes and stops at the first such field. The lenient way
//! reads parsed JSON: the field stays empty, its value goes to `extra` of the object that has it,
//! and its path is recorded. It is several times slower, so it runs only after the fast way has
//! failed.

use std::collections::BTreeSet;

use serde_json::Value;

/// The fields that had a type other than expected, as paths of AWS's names:
/// `Replicas[].RegionName`.
///
/// A path has no positions, so there are at most as many paths as the wire's structs have fields.
#[derive(Debug, Default)]
pub(crate) struct Unexpected {
    found: BTreeSet<String>,
    path: String,
}

impl Unexpected {
    /// Reads the member `name` of the current object; `None` if its type is not the expected one.
    pub(crate) fn member<T: Lenient>(&mut self, name: &str, value: &Value) -> Option<T> {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let before = std::mem::take(&mut self.found);
        let read = T::read(value, self);
        if read.is_none() {
            // The value is kept whole, so paths inside it add nothing.
            self.found = BTreeSet::from([self.path.clone()]);
        }
        self.found.extend(before);
        self.path.truncate(length);
        read
    }

    pub(crate) fn into_paths(self) -> Vec<String> {
        self.found.into_iter().collect()
    }
}

/// A type that can be read from parsed JSON.
pub(crate) trait Lenient: Sized {
    /// Reads a value; `None` if its type is not the expected one. A member of an unexpected type
    /// does not make the object that has it unreadable.
    fn read(value: &Value, unexpected: &mut Unexpected) -> Option<Self>;
}

impl Lenient for String {
    fn read(value: &Value, _: &mut Unexpected) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Lenient for bool {
    fn read(value: &Value, _: &mut Unexpected) -> Option<Self> {
        value.as_bool()
    }
}

impl Lenient for i64 {
    fn read(value: &Value, _: &mut Unexpected) -> Option<Self> {
        value.as_i64()
    }
}

impl Lenient for f64 {
    fn read(value: &Value, _: &mut Unexpected) -> Option<Self> {
        value.as_f64()
    }
}

/// A list with an element of an unexpected type is kept whole in `extra`, so that no element loses
/// its position.
impl<T: Lenient> Lenient for Vec<T> {
    fn read(value: &Value, unexpected: &mut Unexpected) -> Option<Self> {
        let length = unexpected.path.len();
        unexpected.path.push_str("[]");
        let elements = value.as_array().and_then(|list| list.iter().map(|one| T::read(one, unexpected)).collect());
        unexpected.path.truncate(length);
        elements
    }
}
