# The everyday commands. `just` lists them.

_default:
    @just --list

# Format, lints and documentation, as CI checks them.
check:
    cargo fmt --all --check
    python3 tests/circles.py
    cargo clippy --workspace --all-targets --all-features --locked -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --all-features --no-deps --locked

# All tests; what they need is installed first.
test *ARGS:
    tests/run {{ARGS}}

# The end-to-end tests whose names contain NAME.
e2e NAME="":
    cargo test -p dynacrawl --test e2e --locked -- {{NAME}}

# The benchmark, with its own options.
bench *ARGS:
    cargo run --profile dist --locked --bin dynacrawl-bench -- {{ARGS}}

# Chaos on simulated time: one seed (17) or several (0..2000). A failing seed prints its number and its plan.
chaos SEEDS="0..2000":
    DYNACRAWL_CHAOS_SEEDS={{SEEDS}} cargo test -p dynacrawl-engine --test runs --locked chaos

# Fuzz one target for as long as it is let; `just fuzz --list` names them. Needs nightly Rust and cargo-fuzz.
fuzz TARGET *ARGS:
    {{ if TARGET == "--list" { "cd fuzz && ls fuzz_targets" } else { "cargo +nightly fuzz run " + TARGET + " -- " + ARGS } }}
