//! Reads the output of a crawl, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};
use dynacrawl_model::{Body, Escaped, Record};

/// The longest line, in bytes. A table has at most 20 global indexes and 5 local ones by default,
/// and its record a few dozen kilobytes.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// Calls `each` with every record of a file, or of standard input for `-`.
pub(super) fn records(path: &Path, each: &mut dyn FnMut(Record) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return lines("standard input", &mut io::stdin().lock(), each);
    }
    let name = Escaped(&path.display().to_string()).to_string();
    let file = File::open(path).with_context(|| format!("--input: cannot read {name}"))?;
    lines(&name, &mut BufReader::with_capacity(256 * 1024, file), each)
}

fn lines(
    name: &str,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let place = || format!("--input: {name}:{number}");
        let read = input.take(LONGEST_LINE).read_until(b'\n', &mut line).with_context(place)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && read as u64 == LONGEST_LINE {
            bail!("{}: the line is longer than {LONGEST_LINE} bytes", place());
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record: Record =
            serde_json::from_slice(&line).with_context(|| format!("{}: not a record of dynacrawl", place()))?;
        if let Some(problem) = not_for_export(&record.body) {
            bail!("{}: {problem}", place());
        }
        each(record).with_context(place)?;
    }
    Ok(())
}

/// Why a file with this record cannot be exported.
fn not_for_export(body: &Body) -> Option<&'static str> {
    match body {
        Body::KeySchema(_) | Body::Index(_) => {
            Some("the file was written with --layout entities; export needs --layout table, the default")
        }
        Body::TableListed(_) => Some("the file is that of a dry run, which describes no tables"),
        _ => None,
    }
}
