# The everyday commands. `just` lists them.

_default:
    @just --list

# Check format, lints and documentation, as CI does.
check:
    cargo fmt --all --check
    python3 tests/circles.py
    cargo clippy --workspace --all-targets --all-features --locked -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --all-features --no-deps --locked

# Run all tests, after installing what they need.
test *ARGS:
    tests/run {{ARGS}}

# Run the end-to-end tests whose names contain NAME.
e2e NAME="":
    cargo test --workspace --all-features --test e2e --locked -- {{NAME}}

# Build the documentation as a book in target/book, and check its links. Needs mdbook (cargo install mdbook).
docs:
    mdbook build docs
    python3 tests/links.py

# Rewrite the examples of the documentation and the snapshots of messages; review the difference.
bless:
    BLESS=1 INSTA_UPDATE=always cargo test --workspace --all-features --test e2e --locked -- book:: words::

# Run the benchmark, with its own options.
bench *ARGS:
    cargo run --profile dist --locked --bin dynacrawl-bench -- {{ARGS}}

# Run chaos tests on simulated time: one seed (17) or several (0..2000). A failing seed prints its plan.
chaos SEEDS="0..2000":
    DYNACRAWL_CHAOS_SEEDS={{SEEDS}} cargo test --workspace --all-features --test runs --locked chaos

# Fuzz one target until stopped; `just fuzz --list` lists them. Needs nightly Rust and cargo-fuzz.
fuzz TARGET *ARGS:
    {{ if TARGET == "--list" { "ls crates/fuzz/fuzz_targets" } else { "CARGO_PROFILE_RELEASE_STRIP=none cargo +nightly fuzz run --fuzz-dir crates/fuzz " + TARGET + " -- " + ARGS } }}
