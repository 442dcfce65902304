//! The arguments of `dynacrawl export`. The first line of a comment is what `-h` shows.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `dynacrawl export`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  dynacrawl export --to datahub --input tables.jsonl -o datahub.json
  dynacrawl crawl --region eu-west-1 | dynacrawl export --to openmetadata --input - -o requests.jsonl
  dynacrawl export --to csv --state crawl.db -o estate
  dynacrawl export --to atlan --state crawl.db -o atlan --connection 123456789012/eu-west-1=default/dynamodb/1735689600")]
pub struct ExportArgs {
    /// Form of the output
    #[arg(long, value_enum, value_name = "FORM")]
    pub to: ExportForm,
    /// Output of a crawl; - means standard input [default: the state]
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// State to read [default: that of the configuration file]
    ///
    /// Without --input, its tables are exported. With --allow-incomplete, it fills in what the input lacks.
    #[arg(long, env = "DYNACRAWL_STATE", value_name = "FILE")]
    pub state: Option<String>,
    /// File or, for atlan, csv and parquet, directory to write; - means standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Export accounts and Regions that are not complete, too
    ///
    /// Tables that the input lacks are taken from the state, as they were last known. When files for Atlan are published, Atlan
    /// archives the tables that they lack, so without this flag such an export is refused.
    #[arg(long)]
    pub allow_incomplete: bool,
    /// How tables are named.
    #[command(flatten)]
    pub catalog: CatalogArgs,
}

/// The forms of `dynacrawl export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    /// DataHub: a JSON array of metadata change proposals
    #[value(name = "datahub")]
    DataHub,
    /// OpenMetadata: requests as JSON lines, in the order in which they can be sent
    #[value(name = "openmetadata")]
    OpenMetadata,
    /// Atlan: a directory with a file for each type of entity
    Atlan,
    /// A directory of CSV files for analysts
    Csv,
    /// A directory of Parquet files for analysts; only in builds with the cargo feature parquet
    Parquet,
}

/// How tables are named in catalogs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Names")]
pub struct CatalogArgs {
    /// DataHub: environment of the datasets [default: PROD]
    #[arg(long, value_name = "ENV")]
    pub env: Option<String>,
    /// DataHub: platform instance, which may contain {account} [default: {account}]
    #[arg(long, value_name = "NAME")]
    pub platform_instance: Option<String>,
    /// OpenMetadata: scoped, or connector for the names of its own connector [default: scoped]
    #[arg(long, value_name = "NAMES")]
    pub names: Option<String>,
    /// OpenMetadata: name of the service [default: dynamodb, or dynamodb-{account}-{region}]
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Atlan: connection of an account and Region; repeatable
    ///
    /// For example 123456789012/eu-west-1=default/dynamodb/1735689600.
    #[arg(long = "connection", value_name = "ACCOUNT/REGION=CONNECTION", value_parser = connection)]
    pub connections: Vec<(String, String)>,
}

fn connection(text: &str) -> Result<(String, String), String> {
    let (scope, connection) = text.split_once('=').ok_or(
        "expected ACCOUNT/REGION=default/dynamodb/EPOCH, such as 123456789012/eu-west-1=default/dynamodb/1735689600",
    )?;
    Ok((scope.to_owned(), connection.to_owned()))
}
