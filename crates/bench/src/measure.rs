//! Measures the time and memory of a process.

use std::time::Instant;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

use crate::report::Measured;

/// Runs `work` on one thread, as the crawler does, and prints its result with the cost of the
/// process.
pub(crate) fn measured(work: impl Future<Output = Result<Measured>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = Instant::now();
    let mut measured = runtime.block_on(Box::pin(work))?;
    measured.seconds = started.elapsed().as_secs_f64();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    measured.cpu_seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    measured.peak_rss_mb = peak_rss_mb()?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// The peak memory of the process, in MiB.
fn peak_rss_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("the benchmark needs Linux's /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes / 1024.0)
}
