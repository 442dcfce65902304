//! The name patterns of rules.

/// Whether a name matches a pattern: the name itself, or a prefix followed by `*`.
pub(crate) fn pattern_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}
