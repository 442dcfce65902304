//! Servers in front of other servers, which add TLS or a log-in.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::servers::in_servers;

/// A server in front of another one. It ends when this is dropped.
pub(crate) struct Front {
    pub(crate) port: u16,
    child: Child,
}

impl Front {
    /// Terminates TLS, and writes the certificate of its authority to a file.
    pub(crate) fn tls(server: SocketAddr, authority: &Path) -> Self {
        Self::start("tls_front.py", &[server.to_string().as_ref(), authority.as_ref()])
    }

    /// Asks clients of Kafka for a user and a password.
    pub(crate) fn sasl(port: u16, user: &str, password: &str) -> Self {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
        Self::start("sasl_front.py", &[&server, user, password].map(OsStr::new))
    }

    fn start(script: &str, arguments: &[&OsStr]) -> Self {
        let mut command = in_servers("venv/bin/python");
        command.arg(format!("{}/../../tests/servers/{script}", env!("CARGO_MANIFEST_DIR"))).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python of tests/setup");
        let mut port = String::new();
        let output = child.stdout.as_mut().expect("standard output is a pipe");
        BufReader::new(output).read_line(&mut port).expect("a port");
        Self { port: port.trim().parse().expect("a port"), child }
    }

    pub(crate) fn https(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

/// Writes `authority.pem`, `server.pem` and `server.key` to a directory.
pub(crate) fn certificates(directory: &Path) {
    let mut command = in_servers("venv/bin/python");
    command.arg(format!("{}/../../tests/servers/certificates.py", env!("CARGO_MANIFEST_DIR"))).arg(directory);
    assert!(command.status().expect("Python of tests/setup").success());
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
