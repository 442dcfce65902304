//! The metrics for Prometheus. Metrics of calls are recorded where the calls are made. All others
//! are computed from the daemon and the state when the page is requested.

use std::fmt::{Display, Write};
use std::time::Duration;

use dynacrawl_model::Outcome;
use jiff::Timestamp;
use metrics::{Unit, describe_counter, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::shared::{DaemonStatus, Shared};

const SUMMED_UP_EVERY: Duration = Duration::from_secs(5);
/// The most scopes that have a series of their own.
const MOST_SCOPES: usize = 2000;
/// From the fastest answers that AWS gives to the time-out of an attempt.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 20.0];

/// The recorder for metrics of calls.
pub fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let duration = Matcher::Full("dynacrawl_api_request_duration_seconds".to_owned());
    Ok(PrometheusBuilder::new().set_buckets_for_metric(duration, &SECONDS)?.build_recorder())
}

/// Describes the recorded metrics.
pub fn describe() {
    describe_counter!("dynacrawl_api_requests_total", "Requests to AWS by operation and result; each attempt counts.");
    describe_counter!(
        "dynacrawl_sink_events_total",
        "Events for sinks by sink and result: delivered, failed (dynacrawl tries again) or refused."
    );
    describe_histogram!(
        "dynacrawl_api_request_duration_seconds",
        Unit::Seconds,
        "Duration of requests to AWS by operation."
    );
}

/// Sums up the recorded metrics repeatedly and forever: until they are summed up, each call to AWS
/// takes memory, even if no scraper requests the page.
pub async fn sum_up(recorded: PrometheusHandle) {
    loop {
        tokio::time::sleep(SUMMED_UP_EVERY).await;
        recorded.run_upkeep();
    }
}

/// Renders all metrics in Prometheus's text format.
pub fn render(recorded: &PrometheusHandle, shared: &Shared) -> String {
    metrics_process::Collector::default().collect();
    let mut text = recorded.render();
    add(&mut text, &shared.status(), MOST_SCOPES);
    text
}

/// Adds the metrics of the daemon and the state. At most `most_scopes` scopes have a series of
/// their own.
pub fn add(text: &mut String, status: &DaemonStatus, most_scopes: usize) {
    let mut page = Page(text);
    page.one("build_info", "gauge", "The version of dynacrawl.", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    runs(&mut page, status);
    scopes(&mut page, status, most_scopes);
    sinks(&mut page, status);
    configuration(&mut page, status);
}

fn runs(page: &mut Page<'_>, status: &DaemonStatus) {
    let help = "Runs by schedule and outcome; a run that could not start counts as failed.";
    page.family("runs_total", "counter", help);
    for ((schedule, outcome), count) in &status.runs {
        page.sample("runs_total", &[("schedule", schedule), ("outcome", outcome)], count);
    }
    page.one("run_in_progress", "gauge", "Whether a run is in progress.", &[], u8::from(status.running));
    page.family("last_run_timestamp_seconds", "gauge", "Time at which the last run of the schedule ended.");
    for (schedule, (at, _)) in &status.last_runs {
        page.sample("last_run_timestamp_seconds", &[("schedule", schedule)], epoch(*at));
    }
    page.family("run_duration_seconds", "gauge", "Duration of the last run of the schedule.");
    for (schedule, (_, seconds)) in &status.last_runs {
        page.sample("run_duration_seconds", &[("schedule", schedule)], seconds);
    }
    page.family("changes_total", "counter", "Changes by record type.");
    for (kind, count) in &status.changes {
        page.sample("changes_total", &[("type", kind)], count);
    }
    page.family("queue_depth", "gauge", "Records that wait for the output, and runs that wait for another run.");
    let records = status.progress.as_ref().map_or(0, |progress| progress.now().queued);
    page.sample("queue_depth", &[("queue", "records")], records);
    page.sample("queue_depth", &[("queue", "runs")], status.waiting);
    schedules(page, status);
}

fn schedules(page: &mut Page<'_>, status: &DaemonStatus) {
    let name = "schedule_next_run_timestamp_seconds";
    page.family(name, "gauge", "Time of the next run of the schedule.");
    for (schedule, at) in status.schedules.iter().filter_map(|(schedule, times)| Some((schedule, times.next?))) {
        page.sample(name, &[("schedule", schedule)], epoch(at));
    }
    let name = "schedule_last_due_timestamp_seconds";
    page.family(name, "gauge", "Time at which the schedule was last due.");
    for (schedule, at) in status.schedules.iter().filter_map(|(schedule, times)| Some((schedule, times.due?))) {
        page.sample(name, &[("schedule", schedule)], epoch(at));
    }
    let name = "schedule_last_begun_timestamp_seconds";
    page.family(
        name,
        "gauge",
        "Time at which a run of the schedule last started; after a restart, the time at which that run was due; 0 for never.",
    );
    for (schedule, times) in &status.schedules {
        page.sample(name, &[("schedule", schedule)], times.begun.map_or(0.0, epoch));
    }
}

fn scopes(page: &mut Page<'_>, status: &DaemonStatus, most_scopes: usize) {
    page.family("scopes", "gauge", "Accounts and Regions in the state by the outcome of their last crawl.");
    // An interrupted crawl continues, so the state keeps the outcome of the one before it.
    for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Cancelled).map(Outcome::as_str) {
        let count = status.scopes.iter().filter(|scope| scope.last_outcome == outcome).count();
        page.sample("scopes", &[("outcome", outcome)], count);
    }
    let sum = |of: fn(&dynacrawl_state::ScopeLine) -> u64| status.scopes.iter().map(of).sum::<u64>();
    page.one("tables", "gauge", "Tables in the state.", &[], sum(|scope| scope.table_count));
    page.one(
        "removals_held",
        "gauge",
        "Removed tables that stay in the state until a person confirms the removal.",
        &[],
        sum(|scope| scope.held),
    );
    let help = "Accounts and Regions whose retirement waits for a person's confirmation.";
    page.one("retirements_held", "gauge", help, &[], status.retirements_held);
    let complete =
        |scope: &dynacrawl_state::ScopeLine| scope.last_complete_at.map_or(0.0, |at| at.as_millis() as f64 / 1000.0);
    let oldest = status.scopes.iter().map(complete).reduce(f64::min);
    if let Some(oldest) = oldest {
        let help = "The oldest scope_last_complete_timestamp_seconds, including scopes without a series of their own.";
        page.one("scopes_oldest_complete_timestamp_seconds", "gauge", help, &[], oldest);
    }
    let name = "scope_last_complete_timestamp_seconds";
    page.family(name, "gauge", "Time at which the account and Region was last crawled completely; 0 for never.");
    for scope in status.scopes.iter().take(most_scopes) {
        page.sample(name, &[("account_id", &scope.account_id), ("region", &scope.region)], complete(scope));
    }
}

fn sinks(page: &mut Page<'_>, status: &DaemonStatus) {
    let seconds = |at: Option<dynacrawl_model::Timestamp>| at.map_or(0.0, |at| at.as_millis() as f64 / 1000.0);
    page.family("sink_lag_events", "gauge", "Events that the sink has not taken yet.");
    for sink in &status.sinks {
        page.sample("sink_lag_events", &[("sink", &sink.name)], sink.owed);
    }
    let name = "sink_owed_since_timestamp_seconds";
    page.family(name, "gauge", "Time at which the oldest of these events was queued; 0 for none.");
    for sink in &status.sinks {
        page.sample(name, &[("sink", &sink.name)], seconds(sink.owed_since));
    }
    let name = "sink_last_success_timestamp_seconds";
    page.family(name, "gauge", "Time at which the sink last took events; 0 for never.");
    for sink in &status.sinks {
        page.sample(name, &[("sink", &sink.name)], seconds(sink.delivered_at));
    }
    page.family("sink_behind", "gauge", "Whether the sink first has to get all tables.");
    for sink in &status.sinks {
        page.sample("sink_behind", &[("sink", &sink.name)], u8::from(sink.is_behind));
    }
    page.family(
        "sink_lost_events",
        "gauge",
        "Events that were dropped because the sink did not take them for too long; it gets all tables instead.",
    );
    for sink in &status.sinks {
        page.sample("sink_lost_events", &[("sink", &sink.name)], sink.lost);
    }
}

fn configuration(page: &mut Page<'_>, status: &DaemonStatus) {
    let help = "Whether the last reload of the configuration succeeded.";
    page.one("config_last_reload_successful", "gauge", help, &[], u8::from(!status.reload_failed));
    if let Some(at) = status.reloaded_at {
        let help = "Time of the last successful reload of the configuration.";
        page.one("config_last_reload_success_timestamp_seconds", "gauge", help, &[], epoch(at));
    }
}

fn epoch(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// A page of metrics that is being written.
struct Page<'a>(&'a mut String);

impl Page<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP dynacrawl_{name} {help}\n# TYPE dynacrawl_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "dynacrawl_{name}");
        for (number, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{}\"", if number == 0 { '{' } else { ',' }, escaped(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, labels: &[(&str, &str)], value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, labels, value);
    }
}

/// Escapes the value of a label, which may contain any text.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn labels_are_escaped_and_numbers_are_printed_in_full() {
        let mut text = String::new();
        let mut page = Page(&mut text);
        page.one("next", "gauge", "When.", &[("schedule", "a\"b\\c\nd"), ("region", "x")], 1_795_516_522.25);
        assert_eq!(
            text,
            "# HELP dynacrawl_next When.\n# TYPE dynacrawl_next gauge\n\
             dynacrawl_next{schedule=\"a\\\"b\\\\c\\nd\",region=\"x\"} 1795516522.25\n"
        );
    }
}
