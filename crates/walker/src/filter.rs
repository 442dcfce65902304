//! Selects tables by name.

use dynacrawl_model::{FilterRule, FilterRuleKind};
use regex::Regex;

/// A regular expression that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{pattern}' is not a regular expression: {problem}")]
#[non_exhaustive]
pub struct InvalidPattern {
    /// The expression.
    pub pattern: String,
    /// What is wrong with it, and where.
    pub problem: String,
}

/// Include and exclude expressions. Each must match a whole name; exclude wins; without includes,
/// all names are selected.
#[derive(Clone, Debug, Default)]
pub struct TableFilter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    whole: Regex,
}

/// Whether a table is selected, and the rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether to describe the table.
    pub selected: bool,
    /// The rule.
    pub rule: FilterRule,
}

impl TableFilter {
    /// Compiles the expressions.
    ///
    /// # Errors
    /// The first invalid expression, if any.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, InvalidPattern> {
        let compile =
            |patterns: &[String]| patterns.iter().map(|text| Pattern::new(text)).collect::<Result<Vec<_>, _>>();
        Ok(Self { include: compile(include)?, exclude: compile(exclude)? })
    }

    /// Whether the table is selected.
    pub fn selects(&self, name: &str) -> bool {
        !self.exclude.iter().any(|pattern| pattern.matches(name))
            && (self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(name)))
    }

    /// Whether the table is selected, with the first rule that decides.
    pub fn verdict(&self, name: &str) -> Verdict {
        let decided = |selected, kind, pattern: Option<&Pattern>| Verdict {
            selected,
            rule: FilterRule { kind, pattern: pattern.map(|p| p.text.clone()) },
        };
        if let Some(pattern) = self.exclude.iter().find(|pattern| pattern.matches(name)) {
            return decided(false, FilterRuleKind::Exclude, Some(pattern));
        }
        if self.include.is_empty() {
            return decided(true, FilterRuleKind::Default, None);
        }
        match self.include.iter().find(|pattern| pattern.matches(name)) {
            Some(pattern) => decided(true, FilterRuleKind::Include, Some(pattern)),
            None => decided(false, FilterRuleKind::NoIncludeMatched, None),
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |error: &regex::Error| InvalidPattern { pattern: text.to_owned(), problem: place(text, error) };
        // Compiled as typed first, so that the position in the message is the one that the user
        // sees.
        Regex::new(text).map_err(|error| invalid(&error))?;
        // A comment at the end of an extended expression extends to the end of the line.
        let whole = Regex::new(&format!(r"\A(?:{text})\z"))
            .or_else(|_| Regex::new(&format!("\\A(?:{text}\n)\\z")))
            .map_err(|error| invalid(&error))?;
        Ok(Self { text: text.to_owned(), whole })
    }

    fn matches(&self, name: &str) -> bool {
        self.whole.is_match(name)
    }
}

/// The problem in one line, with its position. The library draws a caret under the expression.
fn place(text: &str, error: &regex::Error) -> String {
    let drawn = error.to_string();
    let reason = drawn.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let caret = drawn.lines().find_map(|line| {
        let at = line.find('^')?;
        line[..at].chars().all(char::is_whitespace).then_some(at)
    });
    let indent = drawn.lines().find_map(|line| line.find(text)).unwrap_or(0);
    match caret {
        Some(at) if at >= indent => format!("at character {}: {reason}", at - indent + 1),
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::FilterRuleKind;

    use super::TableFilter;

    fn filter(include: &[&str], exclude: &[&str]) -> TableFilter {
        let owned = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect::<Vec<_>>();
        TableFilter::new(&owned(include), &owned(exclude)).expect("patterns")
    }

    #[test]
    fn an_expression_must_match_the_whole_name() {
        let filter = filter(&["orders|orders-prod", "a.*"], &[]);
        for (name, selected) in
            [("orders", true), ("orders-prod", true), ("orders-prod-2", false), ("my-orders", false), ("abc", true)]
        {
            assert_eq!(filter.selects(name), selected, "{name}");
            assert_eq!(filter.verdict(name).selected, selected, "{name}");
        }
    }

    #[test]
    fn an_extended_expression_may_end_in_a_comment() {
        assert!(filter(&["(?x) orders # those of today"], &[]).selects("orders"));
    }

    #[test]
    fn exclude_wins() {
        let filter = filter(&["orders.*"], &[".*-tmp"]);
        assert!(filter.selects("orders-1"));
        assert!(!filter.selects("orders-tmp"));
        assert_eq!(filter.verdict("orders-tmp").rule.kind, FilterRuleKind::Exclude);
        assert_eq!(filter.verdict("orders-tmp").rule.pattern.as_deref(), Some(".*-tmp"));
        assert_eq!(filter.verdict("other").rule.kind, FilterRuleKind::NoIncludeMatched);
    }

    #[test]
    fn without_an_include_all_other_tables_are_selected() {
        let filter = filter(&[], &["x.*"]);
        assert!(filter.selects("orders"));
        assert_eq!(filter.verdict("orders").rule.kind, FilterRuleKind::Default);
    }

    #[test]
    fn an_invalid_expression_is_refused_with_its_position() {
        let refused = |pattern: &str| TableFilter::new(&[pattern.to_owned()], &[]).expect_err(pattern).to_string();
        assert_eq!(
            refused("orders-(prod"),
            "'orders-(prod' is not a regular expression: at character 8: unclosed group"
        );
        assert!(refused("a{2,1}").contains("at character 2"), "{}", refused("a{2,1}"));
        assert!(refused("[z").contains("at character 1"), "{}", refused("[z"));
        assert!(refused("*").contains("at character 1"), "{}", refused("*"));
        assert!(refused("a)(b").contains("at character 2"), "{}", refused("a)(b"));
    }
}
