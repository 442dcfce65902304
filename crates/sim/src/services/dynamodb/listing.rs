//! Wrong pages of ListTables.

use crate::effect::Listing;
use crate::pattern::pattern_matches;
use crate::tables::{LiveTables, Page};

const EMPTY: &str = "empty-page-";

impl Listing {
    /// The wrong page after `start`.
    pub(crate) fn page(&self, tables: &LiveTables, start: Option<&str>, limit: usize) -> Page {
        let truth = || tables.page(start, limit);
        match self {
            Self::RepeatInPage => {
                let mut page = truth();
                page.names.extend(page.names.first().cloned());
                page
            }
            Self::RepeatOnPages => {
                let mut page = truth();
                if start.is_some() {
                    page.names.extend(tables.names().into_iter().next());
                }
                page
            }
            Self::Cycle => cycle(tables, start, limit),
            Self::InclusiveStart => {
                let Some(start) = start else { return truth() };
                let mut page = truth();
                page.names.insert(0, start.to_owned());
                let more = page.last.is_some() || page.names.len() > limit;
                page.names.truncate(limit);
                page.last = page.names.last().filter(|_| more).cloned();
                page
            }
            Self::EmptyPages => {
                let number = start.and_then(|start| start.strip_prefix(EMPTY)?.parse::<u64>().ok()).unwrap_or_default();
                Page { names: Vec::new(), last: Some(format!("{EMPTY}{:09}", number + 1)) }
            }
            Self::LeaveOut(patterns) => {
                let mut page = truth();
                page.names.retain(|name| !patterns.iter().any(|pattern| pattern_matches(pattern, name)));
                page
            }
            Self::EmptyName => {
                let mut page = truth();
                page.names.insert(0, String::new());
                page
            }
        }
    }
}

/// The first page, or after it the second one. Each continues with the other.
fn cycle(tables: &LiveTables, start: Option<&str>, limit: usize) -> Page {
    let names = tables.names();
    let size = limit.min(names.len().div_ceil(2)).max(1);
    let mut pages = names.chunks(size).chain([&[][..], &[][..]]);
    let (first, second) = (pages.next().unwrap_or_default(), pages.next().unwrap_or_default());
    let end_of = |page: &[String], none: &str| page.last().cloned().unwrap_or_else(|| none.to_owned());
    let end_of_first = end_of(first, "cycle-1");
    let (page, last) =
        if start == Some(end_of_first.as_str()) { (second, end_of(second, "cycle-2")) } else { (first, end_of_first) };
    Page { names: page.to_vec(), last: Some(last) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::Tables;
    use crate::place::Place;

    fn tables(names: &[&str]) -> LiveTables {
        let [partition, account_id, region] = ["aws", "111122223333", "eu-west-1"].map(str::to_owned);
        let tables = names.iter().fold(Tables::new(), |tables, name| tables.table(*name, &json!({})));
        LiveTables::new(tables, Arc::new(Place { partition, account_id, region }))
    }

    /// The names of the first pages, one text for each page.
    fn pages(lie: &Listing, names: &[&str], limit: usize, most: usize) -> Vec<String> {
        let tables = tables(names);
        let (mut pages, mut start) = (Vec::new(), None);
        while pages.len() < most {
            let page = lie.page(&tables, start.as_deref(), limit);
            pages.push(page.names.join(","));
            start = page.last;
            if start.is_none() {
                break;
            }
        }
        pages
    }

    #[test]
    fn names_are_repeated_within_and_across_pages() {
        let names = ["a", "b", "c", "d", "e"];
        assert_eq!(pages(&Listing::RepeatInPage, &names, 2, 9), ["a,b,a", "c,d,c", "e,e"]);
        assert_eq!(pages(&Listing::RepeatOnPages, &names, 2, 9), ["a,b", "c,d,a", "e,a"]);
        assert_eq!(pages(&Listing::InclusiveStart, &names, 3, 9), ["a,b,c", "c,d,e"]);
        // With room for one name there is no progress.
        assert_eq!(pages(&Listing::InclusiveStart, &names, 1, 3), ["a", "a", "a"]);
    }

    #[test]
    fn endless_lists_never_end() {
        assert_eq!(pages(&Listing::Cycle, &["a", "b", "c", "d", "e"], 2, 5), ["a,b", "c,d", "a,b", "c,d", "a,b"]);
        assert_eq!(pages(&Listing::Cycle, &["a"], 100, 3), ["a", "", "a"]);
        assert_eq!(pages(&Listing::Cycle, &[], 100, 3), ["", "", ""]);
        assert_eq!(pages(&Listing::EmptyPages, &["a"], 100, 3), ["", "", ""]);
        let tables = tables(&["a"]);
        let first = Listing::EmptyPages.page(&tables, None, 100).last;
        assert_ne!(first, Listing::EmptyPages.page(&tables, first.as_deref(), 100).last);
    }

    #[test]
    fn names_are_left_out_and_empty_ones_added() {
        let names = ["a1", "a2", "b1", "c1"];
        let lie = Listing::LeaveOut(vec!["a*".into(), "c1".into()]);
        assert_eq!(pages(&lie, &names, 2, 9), ["", "b1"]);
        assert_eq!(pages(&Listing::EmptyName, &names, 2, 9), [",a1,a2", ",b1,c1"]);
    }
}
