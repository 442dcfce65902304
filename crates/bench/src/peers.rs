//! The peers: other tools that crawl the same simulator. `crates/bench/peers/setup` installs them.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dynacrawl_sim::{Account, Estate};
use serde::Deserialize;
use serde_json::json;

use crate::args::{EstateArgs, Peer};
use crate::report::{PeerReport, per, rounded};

/// How many lines of a failed peer's standard error are shown.
const SHOWN_LINES: usize = 10;

/// The report of `cost.py`.
#[derive(Debug, Deserialize)]
struct Cost {
    exit_code: i32,
    seconds: f64,
    cpu_seconds: f64,
    peak_rss_mb: f64,
}

/// The requested peers that are installed. Prints which are not.
pub(crate) fn installed(asked: &[Peer]) -> Result<Vec<Peer>> {
    let (present, missing): (Vec<Peer>, Vec<Peer>) = asked.iter().partition(|peer| peer.program().exists());
    for peer in missing {
        eprintln!("{peer:?} is left out: crates/bench/peers/setup has not installed it");
    }
    ensure!(asked.is_empty() || !present.is_empty(), "no peer to compare with: run crates/bench/peers/setup");
    Ok(present)
}

/// Runs the peers one after the other.
pub(crate) fn run(
    peers: &[Peer],
    args: &EstateArgs,
    url: &str,
    crawl_cpu_us_per_table: f64,
) -> Result<BTreeMap<Peer, PeerReport>> {
    let mut reports = BTreeMap::new();
    for &peer in peers {
        let report = peer.run(args, url, crawl_cpu_us_per_table).with_context(|| format!("{peer:?}"))?;
        reports.insert(peer, report);
    }
    Ok(reports)
}

impl Peer {
    fn program(self) -> PathBuf {
        bin().join(match self {
            Self::Boto3 => "python",
            Self::DataHub => "datahub",
        })
    }

    fn run(self, args: &EstateArgs, url: &str, crawl_cpu_us_per_table: f64) -> Result<PeerReport> {
        // It is also the peer's home directory, so that it finds no settings of the user and leaves
        // no files.
        let directory = tempfile::tempdir()?;
        let output = directory.path().join("tables.json");
        let mut command = measuring(directory.path(), url);
        command.arg(self.program());
        let expected = match self {
            Self::Boto3 => boto3(&mut command, args, &output),
            Self::DataHub => datahub(&mut command, args, &output)?,
        };
        let done = command.output().context("Python does not start")?;
        let stderr = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "its cost could not be measured: {stderr}");
        let cost: Cost = serde_json::from_slice(&done.stdout).context("its cost was not reported")?;
        if cost.exit_code != 0 {
            let lines: Vec<&str> = stderr.lines().collect();
            let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            eprintln!("{self:?} ended with {}:\n{last}", cost.exit_code);
        }

        let tables = match self {
            _ if !output.exists() => 0,
            Self::Boto3 => lines(&output)?,
            Self::DataHub => datasets(&output)?,
        };
        let cpu_us_per_table = per(cost.cpu_seconds * 1e6, tables);
        Ok(PeerReport {
            tables,
            exact: cost.exit_code == 0 && tables == expected,
            seconds: rounded(cost.seconds),
            cpu_us_per_table: rounded(cpu_us_per_table),
            peak_rss_mb: rounded(cost.peak_rss_mb),
            cpu_ratio_to_crawl: rounded(cpu_us_per_table / crawl_cpu_us_per_table),
        })
    }
}

/// Adds the script for all scopes. Returns how many tables they have.
fn boto3(command: &mut Command, args: &EstateArgs, output: &Path) -> u64 {
    let estate = Estate::uniform(args.accounts, args.regions, 1);
    let hub = Account::new(Estate::HUB).access("hub");
    credentials(command, &hub.access_key_id, &hub.secret_access_key);
    command.arg(scripts().join("boto3_crawl.py")).arg("--output").arg(output);
    command.arg("--accounts").args(estate.access.accounts.iter().map(|account| &account.account_id));
    command.arg("--regions").args(&estate.access.accounts[0].regions);
    args.accounts as u64 * args.regions as u64 * args.tables
}

/// Adds an ingestion of one scope into a file. Returns how many tables it has.
fn datahub(command: &mut Command, args: &EstateArgs, output: &Path) -> Result<u64> {
    let account = Estate::uniform(1, 1, 1).access.accounts.remove(0);
    credentials(command, &account.access_key_id, &account.secret_access_key);
    // JSON is valid YAML.
    let recipe = json!({
        "source": { "type": "dynamodb", "config": { "aws_region": account.regions[0] } },
        "sink": { "type": "file", "config": { "filename": output } },
    });
    let path = output.with_file_name("recipe.yml");
    std::fs::write(&path, recipe.to_string())?;
    command.args(["ingest", "run", "-c"]).arg(path).env("DATAHUB_TELEMETRY_ENABLED", "false");
    Ok(args.tables)
}

/// A command that runs and measures the command that is added to it. It reaches only the simulator.
fn measuring(home: &Path, url: &str) -> Command {
    let mut command = Command::new(Peer::Boto3.program());
    command.arg(scripts().join("cost.py"));
    command.env_clear().env("HOME", home).env("LANG", "C.UTF-8");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.env("AWS_ENDPOINT_URL", url).env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn credentials(command: &mut Command, access_key_id: &str, secret_access_key: &str) {
    command.env("AWS_ACCESS_KEY_ID", access_key_id).env("AWS_SECRET_ACCESS_KEY", secret_access_key);
}

/// The number of lines of a file.
fn lines(path: &Path) -> Result<u64> {
    let mut lines = 0;
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        line?;
        lines += 1;
    }
    Ok(lines)
}

/// The number of datasets in a file of DataHub, which is one array of aspects, several for each
/// dataset.
fn datasets(path: &Path) -> Result<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Aspect {
        entity_urn: Option<String>,
    }

    // If DataHub fails, the closing bracket is missing.
    let Ok(aspects) = serde_json::from_reader::<_, Vec<Aspect>>(BufReader::new(File::open(path)?)) else {
        return Ok(0);
    };
    let urns = aspects.into_iter().filter_map(|aspect| aspect.entity_urn);
    Ok(urns.filter(|urn| urn.starts_with("urn:li:dataset:")).collect::<HashSet<_>>().len() as u64)
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn bin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/.servers/peers/venv/bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_with_several_aspects_counts_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let aspects = json!([
            { "entityType": "dataset", "entityUrn": "urn:li:dataset:a", "aspectName": "schemaMetadata" },
            { "entityType": "dataset", "entityUrn": "urn:li:dataset:a", "aspectName": "status" },
            { "entityType": "dataset", "entityUrn": "urn:li:dataset:b", "aspectName": "status" },
            { "entityType": "container", "entityUrn": "urn:li:container:c", "aspectName": "status" },
            { "proposedSnapshot": {} },
        ]);
        std::fs::write(file.path(), aspects.to_string()).unwrap();
        assert_eq!(datasets(file.path()).unwrap(), 2);
    }

    #[test]
    fn an_unfinished_file_of_datahub_has_no_datasets() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[\n{\"entityUrn\": \"urn:li:dataset:a\"}").unwrap();
        assert_eq!(datasets(file.path()).unwrap(), 0);
    }
}
