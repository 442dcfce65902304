//! The manual page: one for all commands.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;

use super::failure::Failure;
use super::print::to_stdout;
use crate::cli::Cli;
use crate::exit::Exit;

pub(super) fn man() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    render(&mut page).map_err(|error| Failure::new(Exit::SinkFailed, error))?;
    to_stdout(&page)
}

fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    let commands = || command.get_subcommands().filter(|sub| sub.get_name() != "help");
    for sub in commands() {
        let name = format!("dynacrawl {}", sub.get_name());
        writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
        let sub = sub.clone().name(name).disable_help_flag(true).disable_version_flag(true);
        let man = Man::new(sub);
        man.render_description_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_options_section(page)?;
    }
    writeln!(page, ".SH EXAMPLES")?;
    for command in std::iter::once(&command).chain(commands()) {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
        let examples: Vec<_> = lines.take_while(|line| !line.is_empty()).map(str::trim_start).collect();
        if !examples.is_empty() {
            writeln!(page, ".PP\n.nf")?;
            examples.iter().try_for_each(|line| text(page, line))?;
            writeln!(page, ".fi")?;
        }
    }
    writeln!(page, ".SH \"EXIT STATUS\"\nIf several apply, the first of 2, 130, 5, 4, 3, 0 counts.")?;
    for exit in [Exit::Complete, Exit::Usage, Exit::Partial, Exit::NothingListed, Exit::SinkFailed, Exit::Interrupted] {
        item(page, &exit.code().to_string(), exit.meaning())?;
    }
    writeln!(page, ".SH FILES")?;
    for (file, meaning) in FILES {
        item(page, file, meaning)?;
    }
    writeln!(page, ".SH ENVIRONMENT\nA flag takes precedence over its variable.")?;
    let arguments = std::iter::once(&command).chain(commands()).flat_map(clap::Command::get_arguments);
    let variables = arguments.filter_map(|arg| Some((arg.get_env()?.to_string_lossy().into_owned(), arg.get_long()?)));
    for (variable, flag) in variables.collect::<BTreeMap<_, _>>() {
        item(page, &variable, &format!("The same as --{flag}."))?;
    }
    for (variable, meaning) in OTHERS {
        item(page, variable, meaning)?;
    }
    Ok(())
}

const FILES: [(&str, &str); 4] = [
    ("FILE.partial", "The lines of a run, beside its --output FILE, until the run has ended."),
    ("STATE.lock, STATE-wal, STATE-shm", "The lock of the state, and what SQLite keeps beside the database."),
    ("~/.aws/config, ~/.aws/credentials", "AWS's configuration files: profiles, roles and Regions."),
    ("dynacrawl.toml", "A configuration file, named by --config; dynacrawl reads no file by default."),
];

const OTHERS: [(&str, &str); 7] = [
    ("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN", "Credentials."),
    ("AWS_PROFILE, AWS_REGION", "The profile and the Region, if no flag and no configuration file names them."),
    (
        "AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL_EC2",
        "Endpoints, unless AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is set.",
    ),
    ("AWS_CA_BUNDLE", "PEM file of the certificate authorities to trust."),
    ("AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT, AWS_ACCOUNT_ID_ENDPOINT_MODE", "Kinds of endpoints."),
    ("COLUMNS", "The width of the reports of status, runs, tables and changes, instead of the terminal's."),
    ("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "The proxy, and the hosts that dynacrawl reaches without it."),
];

fn item(page: &mut Vec<u8>, term: &str, meaning: &str) -> io::Result<()> {
    writeln!(page, ".TP")?;
    text(page, term)?;
    text(page, meaning)
}

/// Writes a line of text. Escapes what roff would interpret: backslashes, hyphens, and a control
/// character at the start.
fn text(page: &mut Vec<u8>, line: &str) -> io::Result<()> {
    let line = line.replace('\\', "\\\\").replace('-', "\\-");
    let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
    writeln!(page, "{guard}{line}")
}
