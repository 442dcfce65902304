//! Measures what each sink costs. It checks nothing, so it runs only when it is asked for. `MEASURE=nats` measures
//! only the sinks whose names contain `nats`: Atlan takes half an hour.
//!
//! ```sh
//! cargo build --profile dist --locked --all-features -p dynacrawl
//! DYNACRAWL_BINARY=target/dist/dynacrawl cargo test --workspace --all-features --locked --test e2e -- \
//!     --ignored --nocapture measure_sinks
//! ```

use std::path::{Path, PathBuf};

use dynacrawl_sim::{DemoAccount, Simulator};
use serde_json::{Value, json};

use crate::brokers;
use crate::catalog_servers::{CatalogServer, TOKEN};
use crate::daemon::Place;
use crate::nats::Nats;
use crate::receiver::Receiver;
use crate::servers::{self, S3_KEYS, in_servers};
use crate::support::{HOME, IRELAND, ireland};

const TABLES: u64 = 10_000;

/// What a process cost.
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
    peak_rss_mb: f64,
}

struct Scene {
    sim: Simulator,
    home: DemoAccount,
    binary: PathBuf,
}

impl Scene {
    fn crawl(&self, place: &Place, sink: &str) -> Cost {
        let config = format!(
            "[crawl]\nrate = 0\ndeliver_within = \"2h\"\n[state]\npath = \"{}\"\n{sink}",
            place.state().display()
        );
        let file = place.path("dynacrawl.toml");
        std::fs::write(&file, config).expect("written");
        let cost = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/peers/cost.py");
        let mut command = in_servers("venv/bin/python");
        command.arg(cost).arg(&self.binary).args(["crawl", "--region", IRELAND, "--config"]).arg(&file);
        command.args(["--endpoint-url", &self.sim.url(), "--sts-endpoint-url", &self.sim.url()]);
        command.args(["--output", "/dev/null"]);
        command.env("AWS_ACCESS_KEY_ID", &self.home.access_key_id);
        command.env("AWS_SECRET_ACCESS_KEY", &self.home.secret_access_key);
        command.env("CATALOG_TOKEN", TOKEN).env("S3_ID", S3_KEYS.0).env("S3_SECRET", S3_KEYS.1);
        let output = command.output().expect("Python");
        let errors = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
        assert_eq!(report["exit_code"], 0, "{errors}");
        let number = |key: &str| report[key].as_f64().expect("a number");
        Cost { seconds: number("seconds"), cpu_seconds: number("cpu_seconds"), peak_rss_mb: number("peak_rss_mb") }
    }

    /// Prints the row of a sink: what its first run and its second one cost more than those without a sink.
    fn row(&self, name: &str, without: Option<&[Cost; 2]>, sink: &str) -> [Cost; 2] {
        let place = Place::new();
        let costs = [self.crawl(&place, sink), self.crawl(&place, sink)];
        let less =
            |of: fn(&Cost) -> f64, turn: usize| of(&costs[turn]) - without.map_or(0.0, |without| of(&without[turn]));
        let (seconds, cpu) = (less(|cost| cost.seconds, 0), less(|cost| cost.cpu_seconds, 0));
        println!(
            "| {name} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} |",
            seconds,
            TABLES as f64 / seconds,
            cpu * 1e6 / TABLES as f64,
            costs[0].peak_rss_mb,
            less(|cost| cost.cpu_seconds, 1) * 1e6 / TABLES as f64,
        );
        costs
    }
}

/// EventBridge as fast as it can be.
fn bus() -> Receiver {
    Receiver::serving(|request| {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let count = body["Entries"].as_array().map_or(0, Vec::len);
        let results: Vec<_> = (0..count).map(|number| json!({ "EventId": number.to_string() })).collect();
        (200, json!({ "Name": "metadata", "FailedEntryCount": 0, "Entries": results }))
    })
}

fn catalog(kind: &str, server: &CatalogServer, more: &str) -> String {
    let url = server.receiver.base();
    format!("[sink.hub.{kind}]\nurl = \"{url}\"\ntoken = {{ env = \"CATALOG_TOKEN\" }}\n{more}")
}

fn store(directory: &Path, more: &str) -> String {
    format!("[sink.lake.object_store]\nurl = \"file://{}\"\n{more}", directory.display())
}

#[test]
#[ignore = "measures, and checks nothing"]
fn measure_sinks() {
    let binary =
        std::env::var_os("DYNACRAWL_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_dynacrawl").into(), PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (sim, home) = ireland(TABLES);
    let scene = Scene { sim, home, binary: root.join(binary) };
    let directory = tempfile::tempdir().expect("a directory");
    println!("| sink | seconds more | tables a second | CPU µs a table | peak MB | CPU µs a table, unchanged |");
    println!("|---|---|---|---|---|---|");
    let without = scene.row("none", None, "");
    let chosen = std::env::var("MEASURE").unwrap_or_default();
    let row = |name: &str, sink: &str| {
        if name.contains(&chosen) {
            scene.row(name, Some(&without), sink);
        }
    };
    row("file", &format!("[sink.a.file]\npath = \"{}\"\n", directory.path().join("events").display()));
    row("http", &format!("[sink.a.http]\nurl = \"{}\"\n", Receiver::start().url()));
    row("http, gzip", &format!("[sink.a.http]\nurl = \"{}\"\ngzip = true\n", Receiver::start().url()));
    let nats = Nats::start("");
    nats.create_stream(None);
    row("nats", &format!("[sink.a.nats]\nservers = [\"{}\"]\n", nats.address()));
    #[cfg(feature = "kafka")]
    {
        let tansu = brokers::tansu(|own| own, &[]);
        brokers::make_topics(&tansu, &[("t", 1)]);
        let port = tansu.port();
        row("kafka", &format!("[sink.a.kafka]\nbrokers = [\"127.0.0.1:{port}\"]\ntopic = \"t\"\ntls = false\n"));
    }
    let keys = "access_key_id = { env = \"S3_ID\" }\nsecret_access_key = { env = \"S3_SECRET\" }\n";
    let url = bus().base();
    row(
        "eventbridge",
        &format!("[sink.a.eventbridge]\nbus = \"b\"\nregion = \"{IRELAND}\"\nendpoint = \"{url}\"\n{keys}"),
    );
    row("object_store, JSON lines, directory", &store(&directory.path().join("lines"), ""));
    row("object_store, Parquet, directory", &store(&directory.path().join("parquet"), "format = \"parquet\"\n"));
    let seaweed = servers::seaweed();
    servers::bucket(&seaweed, "lake", true, None);
    let s3 = format!("[sink.lake.object_store.s3]\nregion = \"us-east-1\"\nendpoint = \"{}\"\n{keys}", seaweed.url);
    row("object_store, JSON lines, S3", &format!("[sink.lake.object_store]\nurl = \"s3://lake\"\n{s3}"));
    row("datahub", &catalog("datahub", &CatalogServer::datahub("v1.7.0"), ""));
    row("openmetadata", &catalog("openmetadata", &CatalogServer::openmetadata(true), ""));
    let connections = format!("connections.\"{HOME}/{IRELAND}\" = \"default/dynamodb/1\"\n");
    row("atlan", &catalog("atlan", &CatalogServer::atlan(), &connections));
}
