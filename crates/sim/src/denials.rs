//! IAM denials: what the policies of an account do not allow.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::locks::{read, write};
use crate::operation::Operation;
use crate::pattern::pattern_matches;

/// An action that no policy allows in an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    account: String,
    region: Option<String>,
    operation: Operation,
    table: Option<String>,
}

impl Denial {
    /// Denies `operation` to every identity of `account`, in all Regions and for all tables. For
    /// AssumeRole, it is the account of the caller.
    #[must_use]
    pub fn new(account: impl Into<String>, operation: Operation) -> Self {
        Self { account: account.into(), region: None, operation, table: None }
    }

    /// Only in this Region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Only for tables with this name, or with the prefix before a final `*`.
    #[must_use]
    pub fn table(mut self, pattern: impl Into<String>) -> Self {
        self.table = Some(pattern.into());
        self
    }

    fn matches(&self, account: &str, region: &str, operation: Operation, table: Option<&str>) -> bool {
        self.account == account
            && self.operation == operation
            && self.region.as_deref().is_none_or(|wanted| wanted == region)
            && self.table.as_deref().is_none_or(|pattern| table.is_some_and(|name| pattern_matches(pattern, name)))
    }
}

/// All denials, with a flag that keeps the common case (none) free of locks.
#[derive(Debug, Default)]
pub(crate) struct DenialTable {
    any: AtomicBool,
    rules: RwLock<Vec<Denial>>,
}

impl DenialTable {
    pub(crate) fn add(&self, denial: Denial) {
        write(&self.rules).push(denial);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        write(&self.rules).clear();
        self.any.store(false, Ordering::Release);
    }

    pub(crate) fn denies(&self, account: &str, region: &str, operation: Operation, table: Option<&str>) -> bool {
        self.any.load(Ordering::Acquire)
            && read(&self.rules).iter().any(|rule| rule.matches(account, region, operation, table))
    }
}
