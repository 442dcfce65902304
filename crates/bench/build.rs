//! Passes the name of Cargo's profile to the program. Cargo's own `PROFILE` is `release` for all
//! profiles that inherit from it, so the name is taken from the output folder,
//! `target/NAME/build/…`.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = std::env::var_os("OUT_DIR").unwrap_or_default();
    let before_build = |path: &Path| path.file_name().is_some_and(|name| name == "build");
    let profile = Path::new(&folder).ancestors().find(|path| before_build(path)).and_then(Path::parent);
    let name = profile.and_then(Path::file_name).map_or("unknown".into(), |name| name.to_string_lossy());
    println!("cargo::rustc-env=DYNACRAWL_BENCH_PROFILE={name}");
}
