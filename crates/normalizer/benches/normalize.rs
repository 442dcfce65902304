//! The cost of a table between the socket and the output: decoding, the fingerprint, and the line.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dynacrawl_model::{Record, RunId, Scope, TableRecord, Timestamp};
use dynacrawl_normalizer::{decode, fingerprint};

fn normalize(criterion: &mut Criterion) {
    let description = dynacrawl_sim::fixtures::full_table("orders", "123456789012", "eu-west-1");
    let full = serde_json::json!({ "Table": description }).to_string();
    let usual = serde_json::json!({ "Table": usual_description() }).to_string();
    for (name, body) in [("full", full), ("usual", usual)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(body.len() as u64));
        // The lower bound: parsing the same bytes as untyped JSON.
        group.bench_function("serde_json::Value", |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(body.as_bytes())));
        });
        group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(body.as_bytes()))));
        let table = decode(body.as_bytes()).expect("a description").table;
        group.bench_function("fingerprint", |bencher| bencher.iter(|| fingerprint(black_box(&table))));
        let scope = Scope {
            partition: "aws".into(),
            account_id: "123456789012".parse().ok(),
            region: "eu-west-1".parse().expect("a Region"),
        };
        let record = TableRecord {
            observed_at: Timestamp::now(),
            fingerprint: fingerprint(&table),
            table,
            problems: Vec::new(),
        };
        let record = Record::of_scope(RunId::generate(), scope.into(), record);
        let mut line = Vec::with_capacity(16 * 1024);
        group.bench_function("line", |bencher| {
            bencher.iter(|| {
                line.clear();
                serde_json::to_writer(&mut line, black_box(&record))
            });
        });
        group.finish();
    }
}

/// About 3 KB, with two global and one local secondary index, as in the benchmark of a whole crawl.
fn usual_description() -> serde_json::Value {
    let estate = dynacrawl_sim::Estate::uniform(1, 1, 1);
    let access = estate.access.accounts[0].clone();
    let simulator = dynacrawl_sim::Simulator::start(estate, &dynacrawl_sim::Options::default()).expect("a simulator");
    let region = &access.regions[0];
    let names = simulator.table_names(&access.account_id, region);
    simulator.describe_json(&access.account_id, region, &names[0]).expect("a table")
}

criterion_group!(benches, normalize);
criterion_main!(benches);
