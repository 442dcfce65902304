//! The kinds of changes.

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// `table_added`
    Added,
    /// `table_changed`
    Changed,
    /// `table_recreated`
    Recreated,
    /// `table_removed`
    Removed,
    /// `table_unselected`
    Unselected,
    /// `scope_retired`
    Retired,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Added, Self::Changed, Self::Recreated, Self::Removed, Self::Unselected, Self::Retired];
}
