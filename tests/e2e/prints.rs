//! The commands that only print.

use serde_json::Value;

use crate::command::Dynacrawl;
use crate::schema::COMMITTED;

#[test]
fn the_printed_schema_is_the_committed_one() {
    assert_eq!(Dynacrawl::new("schema").run().succeeded(), COMMITTED);
    let printed: Value = serde_json::from_str(COMMITTED).expect("JSON");
    assert_eq!(printed, dynacrawl_model::json_schema());
}

#[test]
fn the_reference_configuration_is_printed_and_is_valid() {
    let printed = Dynacrawl::new("config").run().succeeded();
    assert_eq!(printed, include_str!("../../config/reference.toml"));
    let check = Dynacrawl::new("config").arg("check").file("reference.toml", &printed).arg("reference.toml");
    assert_eq!(check.run().succeeded(), "reference.toml: valid, no target, so the command line describes it\n");
}

#[test]
fn the_reference_without_its_comment_signs_is_valid() {
    let reference = include_str!("../../config/reference.toml");
    // A key follows its '#' directly; prose has a blank in between.
    let uncommented = reference.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') && !key.is_empty() => key,
        _ => line,
    });
    // A target has either keys of its own or a profile.
    let text: Vec<_> = uncommented.filter(|line| !line.starts_with("profile =")).collect();
    let check = Dynacrawl::new("config").arg("check").file("all.toml", &text.join("\n")).arg("all.toml");
    assert_eq!(check.run().succeeded(), "all.toml: valid, 3 targets, organizations: 1\n");
}

#[test]
fn a_configuration_file_is_checked_without_its_secrets() {
    let target = "[[target]]\nname = \"one\"\nregions = [\"eu-west-1\"]\n\
                  credentials = { access_key_id = { env = \"NO\" }, secret_access_key = { file = \"/no/such\" } }\n";
    let check = |text: &str| Dynacrawl::new("config").arg("check").file("c.toml", text).arg("c.toml").run();
    assert_eq!(check(target).succeeded(), "c.toml: valid, 1 target\n");
    let bad = check(&format!("{target}regoins = []\n"));
    bad.fails_with(2, "regoins");
    assert!(bad.stderr.contains("c.toml") && bad.stderr.contains('5'), "{}", bad.stderr);
    check("[crawl]\nrate = -1\n").fails_with(2, "rate");
}

#[test]
fn completions_have_the_commands_and_the_flags() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Dynacrawl::new("completions").arg(shell).run().succeeded();
        assert!(script.contains("dynacrawl") && script.contains("demo-faults"), "{shell}: {script}");
    }
    Dynacrawl::new("completions").arg("cmd.exe").run().fails_with(2, "cmd.exe");
}

#[test]
fn the_manual_page_is_roff_and_has_every_command() {
    let page = Dynacrawl::new("man").run().succeeded();
    assert!(page.contains(".TH dynacrawl"), "{page}");
    for command in ["CRAWL", "CHECK", "POLICY", "SCHEMA", "CONFIG", "COMPLETIONS", "MAN"] {
        assert!(page.contains(&format!(".SH \"DYNACRAWL {command}\"")), "{command}");
    }
}

#[test]
fn help_and_version_exit_with_0() {
    let version = Dynacrawl::new("--version").run().succeeded();
    assert_eq!(version, format!("dynacrawl {}\n", env!("CARGO_PKG_VERSION")));
    for command in ["crawl", "check", "policy", "schema", "config", "completions", "man"] {
        let help = Dynacrawl::new(command).arg("--help").run().succeeded();
        assert!(help.contains("--config"), "{command}: {help}");
    }
    Dynacrawl::new("carwl").run().fails_with(2, "crawl");
}
