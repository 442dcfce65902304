//! The crawl, with the same pipeline as the binary.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use dynacrawl::config::Config;
use dynacrawl_engine::{PreparedRun, Progress, RunPlan, crawl_to_output};
use tokio_util::sync::CancellationToken;

use crate::measure::measured;
use crate::report::Measured;

pub(crate) fn run(config: &Path) -> Result<()> {
    let config = Config::check_file(config)?;
    measured(async {
        let plan = RunPlan::new(&Arc::new(config.run), config.request)?;
        let start = PreparedRun::new(&plan, false)?;
        let progress = Arc::new(Progress::default());
        let (report, written) = crawl_to_output(&plan, start, &CancellationToken::new(), &progress).await;
        let written = written?;
        Ok(Measured {
            done: report.counts.described,
            output_lines: written.lines,
            output_bytes: written.bytes,
            scopes_complete: report.scopes.complete,
            ..Measured::default()
        })
    })
}
