//! Include expressions that match no table: most likely a mistake, which would otherwise go unnoticed.

use std::sync::{Mutex, PoisonError};

use dynacrawl_model::{Escaped, TableName};
use dynacrawl_walker::TableFilter;

/// The include expressions that have matched nothing so far.
#[derive(Debug)]
pub(crate) struct Includes(Mutex<Vec<(String, TableFilter)>>);

impl Includes {
    /// The expressions of a run, which have been validated.
    pub(crate) fn new(include: &[String]) -> Self {
        let one = |text: &String| Some((text.clone(), TableFilter::new(std::slice::from_ref(text), &[]).ok()?));
        Self(Mutex::new(include.iter().filter_map(one).collect()))
    }

    /// Matches the expressions against the tables that AWS lists, selected or not: an expression
    /// whose tables are all excluded is not misspelt.
    pub(crate) fn see(&self, listed: [&[TableName]; 2]) {
        let mut unmatched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !unmatched.is_empty() {
            unmatched.retain(|(_, filter)| !listed.iter().copied().flatten().any(|name| filter.selects(name.as_str())));
        }
    }

    /// The expressions that have matched nothing.
    pub(crate) fn unmatched(&self) -> Vec<String> {
        let unmatched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unmatched.iter().map(|(text, _)| Escaped(text).to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::TableName;

    use super::Includes;

    #[test]
    fn an_include_that_matches_nothing_is_found() {
        let includes = Includes::new(&["orders-.*".to_owned(), "ordres-.*".to_owned()]);
        includes.see([&[TableName::from("orders-prod")], &[TableName::from("carts")]]);
        includes.see([&[], &[]]);
        assert_eq!(includes.unmatched(), ["ordres-.*"]);
    }
}
