//! What an export says at its end, and when it must not be put in place.

use std::path::Path;

use dynacrawl_model::Escaped;

use crate::cli::{ExportArgs, ExportForm};

/// How many scopes and problems are named.
const NAMED: usize = 40;

/// What was exported.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) tables: u64,
    /// The scopes that the form has a place for.
    pub(super) scopes: u64,
    /// Tables that the filters of the crawl left out.
    pub(super) unselected: u64,
    /// What is missing, in words.
    pub(super) missing: Vec<String>,
    /// The incomplete scopes of which nobody has ever seen all tables.
    pub(super) unknown: Vec<String>,
    /// The scopes for which the form has no place.
    pub(super) skipped: Vec<String>,
    /// The scopes that no target has any more.
    pub(super) retired: Vec<String>,
}

impl Summary {
    /// Why the export must not be put in place.
    pub(super) fn refusal(&self, args: &ExportArgs) -> Option<String> {
        if args.to != ExportForm::Atlan {
            return None;
        }
        if self.scopes == 0 && !self.skipped.is_empty() {
            return Some(
                "nothing is exported: no account and Region has a connection; give each one with --connection"
                    .to_owned(),
            );
        }
        if self.scopes == 0 {
            return Some("nothing is exported: there is no account and Region".to_owned());
        }
        if !args.allow_incomplete && !self.missing.is_empty() {
            return Some(
                "nothing is exported: when these files are published, Atlan archives the tables that they lack; crawl again, \
                 or fill in what the state knows with --allow-incomplete"
                    .to_owned(),
            );
        }
        (!self.unknown.is_empty()).then(|| {
            format!(
                "nothing is exported: no crawl of {} was ever complete, so tables may be unknown; leave its connection out to \
                 export the others",
                named(&self.unknown)
            )
        })
    }

    pub(super) fn missing_in_words(&self) -> String {
        let mut text = String::new();
        for missing in self.missing.iter().take(NAMED) {
            text.push_str(&format!("missing: {missing}\n"));
        }
        if self.missing.len() > NAMED {
            text.push_str(&format!("missing: and {} more\n", self.missing.len() - NAMED));
        }
        text
    }

    pub(super) fn in_words(&self, output: &Path) -> String {
        let mut text = format!(
            "exported {} of {} to {}\n",
            counted(self.tables, "table"),
            counted(self.scopes, "account and Region"),
            if output == Path::new("-") { "standard output".to_owned() } else { shown(output) }
        );
        text.push_str(&self.missing_in_words());
        if !self.skipped.is_empty() {
            text.push_str(&format!(
                "not exported: {} without a connection; give each one with --connection: {}\n",
                counted(self.skipped.len() as u64, "account and Region"),
                named(&self.skipped)
            ));
        }
        if self.unselected > 0 {
            text.push_str(&format!(
                "note: the filters of the crawl left out {}, which this export lacks, too\n",
                counted(self.unselected, "table")
            ));
        }
        if !self.retired.is_empty() {
            text.push_str(&format!(
                "note: {} that no target has any more: {}\n",
                counted(self.retired.len() as u64, "account and Region"),
                named(&self.retired)
            ));
        }
        text
    }
}

fn named(scopes: &[String]) -> String {
    let more = scopes.len().saturating_sub(NAMED);
    let names: Vec<_> = scopes.iter().take(NAMED).map(String::as_str).collect();
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}

fn counted(count: u64, what: &str) -> String {
    match (count, what) {
        (1, _) => format!("1 {what}"),
        (_, "account and Region") => format!("{count} accounts and Regions"),
        _ => format!("{count} {what}s"),
    }
}

pub(super) fn shown(path: &Path) -> String {
    Escaped(&path.display().to_string()).to_string()
}
