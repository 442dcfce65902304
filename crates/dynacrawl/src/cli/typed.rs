//! What the user typed: for each setting the flag or the environment variable, and variables that
//! dynacrawl does not read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::exit::Exit;
use crate::nearest::nearest;

/// The prefix of dynacrawl's environment variables.
const PREFIX: &str = "DYNACRAWL_";

/// Where the values of the command line come from.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// By flag, such as `--rate`: the flag itself, or the variable that was set instead of it.
    names: BTreeMap<String, String>,
    /// Environment variables that look like dynacrawl's and that it does not read, unless the
    /// configuration file names them.
    pub unknown_variables: Vec<UnknownVariable>,
}

/// An environment variable that looks like dynacrawl's and is none of its own.
#[derive(Clone, Debug)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// A warning, with a suggestion.
    pub message: String,
}

impl Typed {
    /// Collects the flags and variables that set the arguments of a command.
    pub(super) fn new(command: &Command, matches: &ArgMatches, variables: impl Iterator<Item = OsString>) -> Self {
        let mut names = BTreeMap::new();
        let (sub, matches) = match matches.subcommand().map(|(name, of)| (command.find_subcommand(name), of)) {
            Some((Some(sub), of)) => (sub, of),
            _ => (command, matches),
        };
        for arg in command.get_arguments().chain(sub.get_arguments()) {
            let source = matches.try_contains_id(arg.get_id().as_str()).ok();
            let source = source.and_then(|_| matches.value_source(arg.get_id().as_str()));
            let Some(flag) = arg.get_long().map(|long| format!("--{long}")) else { continue };
            match (source, arg.get_env()) {
                (Some(ValueSource::CommandLine), _) => _ = names.insert(flag.clone(), flag),
                (Some(ValueSource::EnvVariable), Some(variable)) => {
                    names.insert(flag, variable.to_string_lossy().into_owned());
                }
                _ => {}
            }
        }
        Self { names, unknown_variables: unknown_variables(&variables_of(command), variables) }
    }

    /// The same text with the setting at its beginning under the name that the user typed.
    pub(crate) fn rename_start(&self, text: &str) -> String {
        let setting = text.find(')').map_or("", |end| &text[..=end]);
        let is_setting = setting.split_once(" (--").is_some_and(|(key, _)| key.chars().all(is_of_key));
        if is_setting { format!("{}{}", self.rename(setting), &text[setting.len()..]) } else { text.to_owned() }
    }

    /// The same text with each setting under the name that the user typed: `crawl.rate (--rate)`
    /// becomes `--rate` or `DYNACRAWL_RATE`.
    pub(crate) fn rename(&self, text: &str) -> String {
        let mut renamed = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(" (--") {
            let flag_at = at + 2;
            let length =
                rest[flag_at..].find(|c: char| c != '-' && !c.is_ascii_lowercase()).unwrap_or(rest.len() - flag_at);
            let flag = &rest[flag_at..flag_at + length];
            let is_whole = rest[flag_at + length..].starts_with(')');
            let key_at = rest[..at].trim_end_matches(is_of_key).len();
            // Without a key in front of it, it is not the name of a setting, but text from outside.
            match self.names.get(flag).filter(|_| is_whole && key_at < at) {
                Some(name) => {
                    renamed.push_str(&rest[..key_at]);
                    renamed.push_str(name);
                    rest = &rest[flag_at + length + 1..];
                }
                None => {
                    renamed.push_str(&rest[..flag_at + length]);
                    rest = &rest[flag_at + length..];
                }
            }
        }
        renamed.push_str(rest);
        renamed
    }
}

fn is_of_key(c: char) -> bool {
    matches!(c, '.' | '_' | '0'..='9' | 'a'..='z')
}

/// Ends the process with an error of the command line, or with the help or version that was asked
/// for.
pub(super) fn exit(error: &clap::Error, command: &Command, typed: &[OsString]) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let text = in_words(error, command, typed);
    // If standard error is closed, there is nowhere to report it.
    let _ = std::io::stderr().write_all(text.as_bytes());
    #[expect(clippy::exit, reason = "as clap itself does, before anything has started")]
    std::process::exit(i32::from(Exit::Usage.code()))
}

/// An error of the command line. If the value comes from an environment variable, it names the
/// variable and not the flag.
fn in_words(error: &clap::Error, command: &Command, typed: &[OsString]) -> String {
    let text = error.render().to_string();
    let Some(ContextValue::String(invalid)) = error.get(ContextKind::InvalidArg) else { return text };
    let Some(long) = invalid.strip_prefix("--").and_then(|rest| rest.split([' ', '=', '[']).next()) else {
        return text;
    };
    let flag = format!("--{long}");
    let Some(arg) = arguments(command).find(|arg| arg.get_long() == Some(long)) else { return text };
    // Short flags may be combined, as in `-qo FILE`.
    let has_value = |letter: char| {
        let of_letter = arguments(command).find(|arg| arg.get_short() == Some(letter));
        of_letter.is_some_and(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
    };
    let is_short = |typed: &str| {
        let Some(letters) = typed.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else { return false };
        let flags = letters.split('=').next().unwrap_or_default();
        // What comes after the first flag with a value is its value.
        let last = flags.find(has_value).map_or(flags.len(), |at| at + 1);
        arg.get_short().is_some_and(|short| flags[..last].contains(short))
    };
    let is_typed = typed.iter().map(|arg| arg.to_string_lossy()).any(|typed| {
        typed.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')) || is_short(&typed)
    });
    match arg.get_env().filter(|variable| std::env::var_os(variable).is_some()) {
        Some(variable) if !is_typed => text.replace(invalid.as_str(), &variable.to_string_lossy()),
        _ => text,
    }
}

/// The arguments of all commands.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_subcommands().flat_map(Command::get_arguments).chain(command.get_arguments())
}

fn variables_of(command: &Command) -> Vec<String> {
    arguments(command).filter_map(Arg::get_env).map(|name| name.to_string_lossy().into_owned()).collect()
}

/// A message for each variable that has dynacrawl's prefix and that dynacrawl does not read.
fn unknown_variables(known: &[String], variables: impl Iterator<Item = OsString>) -> Vec<UnknownVariable> {
    let mut unknown: Vec<_> = variables
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name) && !is_of_a_service(name))
        .collect();
    unknown.sort();
    let message = |name: String| {
        let nearest = nearest(&name, known.iter().map(String::as_str));
        let hint = nearest.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        let escaped = dynacrawl_model::Escaped(&name);
        let message = format!("dynacrawl does not read the environment variable {escaped}{hint}");
        UnknownVariable { name, message }
    };
    unknown.into_iter().map(message).collect()
}

/// Whether Kubernetes sets the variable for a Service named `dynacrawl` or `dynacrawl-…`.
fn is_of_a_service(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| name.contains(protocol))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::CommandFactory;

    use super::{Typed, unknown_variables, variables_of};
    use crate::cli::Cli;

    #[test]
    fn a_setting_has_the_name_that_the_user_typed() {
        let command = Cli::command();
        let matches = command.clone().get_matches_from(["dynacrawl", "crawl", "--rate", "5", "--region", "eu-west-1"]);
        let mut typed = Typed::new(&command, &matches, std::iter::empty());
        typed.names.insert("--burst".to_owned(), "DYNACRAWL_BURST".to_owned());
        for (text, renamed) in [
            ("crawl.rate (--rate)", "--rate"),
            ("crawl.burst (--burst): 5 is out of range", "DYNACRAWL_BURST: 5 is out of range"),
            ("target 'default': regions (--region)", "target 'default': --region"),
            ("state.path (--state)", "state.path (--state)"),
            ("a (--rate, crawl.rate) b (--rate)", "a (--rate, crawl.rate) --rate"),
            (" (--", " (--"),
            ("'\u{e9} (--rate)'", "'\u{e9} (--rate)'"),
        ] {
            assert_eq!(typed.rename(text), renamed);
        }
        assert_eq!(typed.rename_start("crawl.rate (--rate): 'a (--rate)'"), "--rate: 'a (--rate)'");
        assert_eq!(typed.rename_start("cannot read a (--rate)"), "cannot read a (--rate)");
    }

    #[test]
    fn unknown_variables_are_named_and_service_links_are_not() {
        let known = variables_of(&Cli::command());
        let names = [
            "DYNACRAWL_RAET",
            "DYNACRAWL_RATE",
            "DYNACRAWL_PORT",
            "DYNACRAWL_SERVICE_HOST",
            "DYNACRAWL_PORT_9464_TCP_ADDR",
            "DYNACRAWL_SERVICE_PORT_METRICS",
            "PATH",
        ];
        let unknown = unknown_variables(&known, names.into_iter().map(OsString::from));
        let messages: Vec<_> = unknown.into_iter().map(|unknown| unknown.message).collect();
        assert_eq!(
            messages,
            ["dynacrawl does not read the environment variable DYNACRAWL_RAET; did you mean DYNACRAWL_RATE?"]
        );
    }
}
