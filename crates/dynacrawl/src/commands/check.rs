//! `dynacrawl check`

use std::time::Duration;

use super::crawl::warn;
use super::failure::Failure;
use super::planned::{Planned, plan};
use super::print::{json_to_stdout, to_stdout};
use crate::check;
use crate::cli::{CheckArgs, GlobalArgs};
use crate::config::{CheckFormat, Config, Flags, LogLevel};
use crate::exit::Exit;
use crate::terminal::Terminal;

/// A check makes fewer attempts than a crawl, and gives up earlier: its user is waiting.
const MAX_ATTEMPTS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn check(global: &GlobalArgs, args: &CheckArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let flags = Flags {
        target: Some(&args.target),
        filter: Some(&args.filter),
        speed: Some(&args.speed),
        endpoints: Some(&args.endpoints),
        report: Some(&args.report),
        ..Flags::default()
    };
    let patient = |config: &mut Config| {
        if args.speed.max_attempts.is_none() {
            config.run.crawl.retry.max_attempts = config.run.crawl.retry.max_attempts.min(MAX_ATTEMPTS);
        }
        if args.speed.patience.is_none() {
            config.run.crawl.retry.patience = config.run.crawl.retry.patience.min(PATIENCE);
        }
    };
    let Planned { plan, config, simulator: _simulator } = plan(global, &flags, args.demo, patient).await?;
    let _telemetry = terminal.show_messages(&config.log, LogLevel::WARN)?;
    warn(global, &config);
    let findings = Box::pin(check::check(&plan, &config.check)).await;
    match config.check.format {
        CheckFormat::Text => to_stdout(findings.to_text(config.quiet, |text| global.typed.rename(text)).as_bytes())?,
        CheckFormat::Json => json_to_stdout(&findings)?,
    };
    Ok(findings.exit())
}
