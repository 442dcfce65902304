//! Lists in pages with opaque tokens.

use crate::derived::hash;

/// The pages of a list, generated on request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pages<'a, T> {
    /// What is listed.
    pub(crate) items: &'a [T],
    /// The name of the list. Tokens of other lists are refused.
    pub(crate) list: &'a str,
    /// Items a page.
    pub(crate) size: usize,
    /// Whether an empty page comes before each page.
    pub(crate) empty: bool,
}

impl<'a, T> Pages<'a, T> {
    /// The page of a token, and the next token if there is more; `None` if the token is invalid.
    pub(crate) fn page(&self, token: Option<&str>) -> Option<(&'a [T], Option<String>)> {
        let (start, empty) = match token {
            None => (0, self.empty),
            Some(token) => self.read(token)?,
        };
        let rest = self.items.get(start..)?;
        if empty {
            return Some((&[], Some(self.token(start, false))));
        }
        let end = start + self.size.min(rest.len());
        Some((&self.items[start..end], (end < self.items.len()).then(|| self.token(end, self.empty))))
    }

    fn token(&self, start: usize, empty: bool) -> String {
        format!("{:016x}{start:08x}{}", hash(self.list), u8::from(empty))
    }

    fn read(&self, token: &str) -> Option<(usize, bool)> {
        let rest = token.strip_prefix(&format!("{:016x}", hash(self.list)))?;
        let (start, empty) = rest.split_at_checked(8)?;
        Some((usize::from_str_radix(start, 16).ok()?, empty == "1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(pages: Pages<'_, u8>) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut token = None;
        loop {
            let (items, next) = pages.page(token.as_deref()).unwrap();
            sizes.push(items.len());
            token = next;
            if token.is_none() {
                return sizes;
            }
        }
    }

    #[test]
    fn pages_are_full_and_end_without_a_token() {
        let pages = Pages { items: &[0; 6], list: "a", size: 4, empty: false };
        assert_eq!(sizes(pages), [4, 2]);
        assert_eq!(sizes(Pages { size: 3, ..pages }), [3, 3]);
        assert_eq!(sizes(Pages { items: &[], ..pages }), [0]);
        assert_eq!(sizes(Pages { empty: true, ..pages }), [0, 4, 0, 2]);
    }

    #[test]
    fn token_is_valid_only_for_its_own_list() {
        let pages = Pages { items: &[0; 6], list: "a", size: 4, empty: false };
        let (_, token) = pages.page(None).unwrap();
        assert_eq!(Pages { list: "b", ..pages }.page(token.as_deref()), None);
        assert_eq!(pages.page(Some("nonsense")), None);
        assert_eq!(pages.page(Some(&pages.token(7, false))), None);
    }
}
