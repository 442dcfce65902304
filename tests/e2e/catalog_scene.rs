//! A catalog with a sink, and the tables that arrive in it.

use std::collections::BTreeMap;

use dynacrawl_sim::{Account, DemoAccount, Estate, Simulator, Tables, fixtures};
use serde_json::Value;

use crate::catalog_servers::{CatalogServer, TOKEN};
use crate::command::{Dynacrawl, Ended};
use crate::daemon::Place;
use crate::support::{HOME, IRELAND, VIRGINIA, simulate};

/// A catalog, and a place with a state.
pub(crate) struct Scene {
    pub(crate) server: CatalogServer,
    pub(crate) kind: &'static str,
    pub(crate) place: Place,
    /// Lines of the sink's section, and of its kind's.
    pub(crate) sink: String,
    pub(crate) more: String,
    /// The connections of Atlan.
    pub(crate) connections: String,
}

impl Scene {
    pub(crate) fn of(kind: &'static str, server: CatalogServer) -> Self {
        Self { server, kind, place: Place::new(), sink: String::new(), more: String::new(), connections: String::new() }
    }

    /// Atlan, with connections for these Regions.
    pub(crate) fn atlan(regions: &[&str]) -> Self {
        let connections = regions
            .iter()
            .zip(1..)
            .map(|(region, number)| format!("connections.\"{HOME}/{region}\" = \"default/dynamodb/{number}\"\n"));
        Self { connections: connections.collect(), ..Self::of("atlan", CatalogServer::atlan()) }
    }

    /// One for each API.
    pub(crate) fn all() -> [Self; 4] {
        [
            Self::of("datahub", CatalogServer::datahub("v1.7.0")),
            Self::of("datahub", CatalogServer::datahub("v0.15.0")),
            Self::of("openmetadata", CatalogServer::openmetadata(true)),
            Self::atlan(&[IRELAND]),
        ]
    }

    pub(crate) fn section(&self) -> String {
        format!(
            "[sink.hub]\nbackoff = \"10ms\"\nmax_backoff = \"50ms\"\n{}[sink.hub.{}]\nurl = \"{}\"\n\
             token = {{ env = \"CATALOG_TOKEN\" }}\n{}{}",
            self.sink,
            self.kind,
            self.server.receiver.base(),
            self.connections,
            self.more
        )
    }

    pub(crate) fn crawl(&self, sim: &Simulator, home: &DemoAccount, regions: &str) -> Dynacrawl {
        self.crawl_within(sim, home, regions, "20s")
    }

    pub(crate) fn crawl_within(&self, sim: &Simulator, home: &DemoAccount, regions: &str, within: &str) -> Dynacrawl {
        let config = format!(
            "[crawl]\nrate = 0\ndeliver_within = \"{within}\"\n[changes]\nfail_safe_from = 1000\n[state]\npath = \"{}\"\n{}",
            self.place.state().display(),
            self.section()
        );
        Dynacrawl::crawl_of(sim, home, regions)
            .config(&config)
            .args(["--output", "tables.jsonl"])
            .secret_env("CATALOG_TOKEN", TOKEN)
    }

    pub(crate) fn run(&self, sim: &Simulator, home: &DemoAccount, code: i32) -> Ended {
        let ended = self.crawl(sim, home, IRELAND).run();
        assert_eq!(ended.code(), code, "{}: {}", self.kind, ended.stderr);
        ended
    }

    /// Crawls three tables of one Region and the table `other` of a second one.
    pub(crate) fn two_regions(&self) -> (Simulator, DemoAccount) {
        let account = Account::new(HOME)
            .region(IRELAND, Tables::new().generated(3))
            .region(VIRGINIA, Tables::new().table("other", &fixtures::small_table("other", HOME, VIRGINIA)));
        let home = account.access("home");
        let sim = simulate(Estate::new([account]));
        let both = self.crawl(&sim, &home, &format!("{IRELAND},{VIRGINIA}")).run();
        assert_eq!(both.code(), 0, "{}", both.stderr);
        (sim, home)
    }

    /// Crawls without the second Region, which removes its table.
    pub(crate) fn retires_one(&self, sim: &Simulator, home: &DemoAccount) {
        let one = self.crawl(sim, home, IRELAND).args(["--accept-retirements", &format!("{HOME}/{VIRGINIA}")]).run();
        assert_eq!(one.code(), 0, "{}", one.stderr);
        let mut expected = all_there(3);
        expected.insert("other".to_owned(), false);
        assert_eq!(self.tables(), expected, "{}", self.kind);
    }

    /// The tables in the catalog by their last name, and whether each is there or removed.
    pub(crate) fn tables(&self) -> BTreeMap<String, bool> {
        let entities = self.server.entities();
        let table = |(name, entity): (&String, &serde_json::Map<String, Value>)| match self.kind {
            "datahub" => {
                let of = name.strip_prefix("urn:li:dataset:(urn:li:dataPlatform:dynamodb,")?.strip_suffix(",PROD)")?;
                let (_, table) = of
                    .split_once(&format!("{HOME}.{IRELAND}."))
                    .or_else(|| of.split_once(&format!("{HOME}.{VIRGINIA}.")))?;
                Some((table.to_owned(), entity["status"]["removed"] == false))
            }
            "atlan" => {
                let is_table = entity["typeName"] == "DynamoDBTable";
                is_table.then(|| (name.rsplit('/').next().unwrap_or_default().to_owned(), entity["status"] == "ACTIVE"))
            }
            _ => {
                entity.get("databaseSchema")?;
                Some((entity["name"].as_str()?.to_owned(), entity["deleted"] == false))
            }
        };
        entities.iter().filter_map(table).collect()
    }

    /// The entity of a table.
    pub(crate) fn entity(&self, table: &str) -> Value {
        let entities = self.server.entities();
        let name = match self.kind {
            "datahub" => format!("urn:li:dataset:(urn:li:dataPlatform:dynamodb,{HOME}.{IRELAND}.{table},PROD)"),
            "atlan" => format!("default/dynamodb/1/{table}"),
            _ => format!("dynamodb.{HOME}.{IRELAND}.{table}"),
        };
        Value::Object(entities.get(&name).unwrap_or_else(|| panic!("no {name}")).clone())
    }

    /// How many requests have changed something since the last call.
    pub(crate) fn writes(&self) -> usize {
        let writes = self.server.writes().len();
        self.server.receiver.forget();
        writes
    }
}

pub(crate) fn all_there(count: usize) -> BTreeMap<String, bool> {
    (0..count).map(|number| (format!("table-{number:06}"), true)).collect()
}
