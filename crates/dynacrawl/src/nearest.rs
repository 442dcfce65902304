//! Suggestions for misspelt names.

/// The candidate that is nearest to a misspelt name, if one is near.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored =
        candidates.into_iter().map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(score, _)| *score >= 0.7).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_a_near_name_is_suggested() {
        let names = ["eu-west-1", "us-east-1"];
        assert_eq!(nearest("eu-wset-1", names), Some("eu-west-1"));
        assert_eq!(nearest("tokyo", names), None);
    }
}
