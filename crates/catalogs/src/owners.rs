//! Whose tables are in a place of a catalog.

use std::collections::HashMap;

/// Which account, or account and Region, has a place in the catalog. Tables of another one in the same place
/// would replace its own.
#[derive(Debug, Default)]
pub struct Owners(HashMap<String, String>);

impl Owners {
    /// Takes note of the owner of a place. `setting` is what names places.
    ///
    /// # Errors
    /// If the place has another owner.
    pub fn claim(&mut self, setting: &'static str, place: &str, owner: &str) -> Result<(), TwoOwners> {
        let first = self.0.entry(place.to_owned()).or_insert_with(|| owner.to_owned());
        if first == owner {
            return Ok(());
        }
        Err(TwoOwners { setting, place: place.to_owned(), owners: [first.clone(), owner.to_owned()] })
    }
}

/// Two owners would have the same place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{setting}: the tables of {} and {} would both be in {place}; use the placeholders {{account}} and {{region}}",
    .owners[0], .owners[1]
)]
pub struct TwoOwners {
    setting: &'static str,
    place: String,
    owners: [String; 2],
}

#[cfg(test)]
mod tests {
    use super::Owners;

    #[test]
    fn a_place_has_one_owner() {
        let mut owners = Owners::default();
        for (place, owner) in [("prod.eu", "1"), ("prod.us", "2"), ("prod.eu", "1")] {
            owners.claim("--service", place, owner).expect("its own");
        }
        let error = owners.claim("--service", "prod.eu", "2").expect_err("another one's").to_string();
        let expected =
            "--service: the tables of 1 and 2 would both be in prod.eu; use the placeholders {account} and {region}";
        assert_eq!(error, expected);
    }
}
