//! The files that earlier runs have written.

use std::path::PathBuf;

use rusqlite::{OptionalExtension, params};

use crate::{State, StateError};

/// The most files that are returned at once.
const MOST: u32 = 1000;

/// A query for the files of runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileQuery {
    /// The template that the files' paths were made from.
    pub template: String,
    /// Only the files of runs that this schedule began. `Some(None)`: of runs that no schedule
    /// began. `None`: of all runs.
    pub schedule: Option<Option<String>>,
}

/// The file of a run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// The run.
    pub run_id: String,
    /// The file. Another run or another program may have replaced it.
    pub path: PathBuf,
    /// Whether the run wrote no line, and no later run has written the same file.
    pub may_be_empty: bool,
}

impl State {
    /// The files that are older than those of the `keep` newest finished runs, and that are not
    /// marked as deleted: at most 1,000 at once.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn old_files(&self, asked: &FileQuery, keep: u32) -> Result<Vec<RunFile>, StateError> {
        let read = || {
            let of_template = "output_template = ?1 AND is_replaced AND (?2 OR schedule IS ?3)";
            let finished = format!(
                "SELECT MAX(rowid) AS newest FROM runs WHERE {of_template} AND outcome IN ('complete', 'partial') \
                 GROUP BY output ORDER BY newest DESC LIMIT 1 OFFSET ?4"
            );
            let (any, schedule) = (asked.schedule.is_none(), asked.schedule.as_ref().and_then(Option::as_ref));
            let oldest_kept: Option<i64> = self
                .connection
                .query_row(&finished, params![asked.template, any, schedule, keep.saturating_sub(1)], |row| row.get(0))
                .optional()?;
            let Some(oldest_kept) = oldest_kept else { return Ok(Vec::new()) };
            let old = format!(
                "SELECT run_id, output, output_lines = 0 AND NOT EXISTS (SELECT 1 FROM runs AS later WHERE later.output = runs.output \
                 AND later.rowid > runs.rowid) FROM runs WHERE {of_template} AND rowid < ?4 AND ended_at IS NOT NULL \
                 AND NOT files_deleted ORDER BY rowid LIMIT {MOST}"
            );
            self.connection
                .prepare(&old)?
                .query_map(params![asked.template, any, schedule, oldest_kept], |row| {
                    Ok(RunFile {
                        run_id: row.get(0)?,
                        path: row.get::<_, String>(1)?.into(),
                        may_be_empty: row.get(2)?,
                    })
                })?
                .collect()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Stores that the files of these runs are deleted.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn files_are_deleted(&mut self, of: &[RunFile]) -> Result<(), StateError> {
        self.all_or_nothing(|writing| {
            let mut mark = writing.prepare("UPDATE runs SET files_deleted = 1 WHERE run_id = ?")?;
            of.iter().try_for_each(|file| mark.execute([&file.run_id]).map(drop))
        })
    }
}
