//! Where the records go, and which combinations with other settings would lose some of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dynacrawl_model::{Escaped, RunId, Timestamp};
use dynacrawl_sinks::Output;

use super::{Config, ConfigError};

const KEY: &str = "crawl.output (--output)";

/// Where the records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file.
    File(OutputPath),
}

impl Destination {
    /// Whether a placeholder stands in the path.
    pub fn has(&self, placeholder: Placeholder) -> bool {
        matches!(self, Self::File(path) if path.has(placeholder))
    }
}

/// A file's path, with placeholders that each run fills in once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPath {
    /// Absolute, so that it means the same from wherever dynacrawl is started.
    template: String,
}

/// What may stand in an output's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{run_id}`
    RunId,
    /// `{date}`: of the run's start, in UTC.
    Date,
    /// `{schedule}`: the schedule's name, as far as it can be part of a file name; `manual` for other runs.
    Schedule,
}

impl Placeholder {
    const ALL: [Self; 3] = [Self::RunId, Self::Date, Self::Schedule];

    fn as_str(self) -> &'static str {
        match self {
            Self::RunId => "{run_id}",
            Self::Date => "{date}",
            Self::Schedule => "{schedule}",
        }
    }
}

impl Destination {
    pub(super) fn validate(text: &str) -> Result<Self, ConfigError> {
        match text {
            "" => Err(ConfigError::value(KEY, "is empty; expected a file or -")),
            "-" => Ok(Self::Stdout),
            path => OutputPath::parse(path).map(Self::File),
        }
    }

    /// The template, as the state remembers it.
    pub fn template(&self) -> &str {
        match self {
            Self::Stdout => "-",
            Self::File(path) => &path.template,
        }
    }
}

impl OutputPath {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            rest = &rest[at..];
            let Some(placeholder) = Placeholder::ALL.iter().find(|one| rest.starts_with(one.as_str())) else {
                let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                let problem = format!(
                    "'{}' is no placeholder; expected {{run_id}}, {{date}} or {{schedule}}",
                    Escaped(&rest[..end])
                );
                return Err(ConfigError::value(KEY, problem));
            };
            rest = &rest[placeholder.as_str().len()..];
        }
        let whole = std::path::absolute(text).unwrap_or_else(|_| text.into());
        Ok(Self { template: whole.display().to_string() })
    }

    /// Whether a placeholder stands in it.
    pub fn has(&self, placeholder: Placeholder) -> bool {
        self.template.contains(placeholder.as_str())
    }

    /// Whether any placeholder stands in it.
    pub fn is_template(&self) -> bool {
        Placeholder::ALL.into_iter().any(|one| self.has(one))
    }

    /// The path of a run that starts at a time.
    pub fn resolve(&self, run_id: RunId, at: Timestamp, schedule: Option<&str>) -> PathBuf {
        // A time is written as 2026-01-31T00:00:00.000Z.
        let at = at.to_string();
        let date = at.split('T').next().unwrap_or_default();
        self.template
            .replace(Placeholder::RunId.as_str(), run_id.as_str())
            .replace(Placeholder::Date.as_str(), date)
            .replace(Placeholder::Schedule.as_str(), &in_file_name(schedule))
            .into()
    }

    /// Whether a run would replace a file, and not write into a stream. The place of a template is not looked at.
    fn is_replaced(&self) -> bool {
        self.is_template() || Output::replaces(Path::new(&self.template))
    }
}

/// A schedule's name, as part of a file name.
fn in_file_name(schedule: Option<&str>) -> String {
    let Some(name) = schedule else { return "manual".to_owned() };
    let safe = name.char_indices().map(|(at, c)| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
        '.' if at > 0 => c,
        _ => '_',
    });
    let safe: String = safe.collect();
    if safe.is_empty() { "_".to_owned() } else { safe }
}

/// The file of an output that is also a file of the state: writing it would destroy what the state remembers.
pub(crate) fn collision(output: &Path, state: &Path) -> Option<PathBuf> {
    let files = Output::files(output).ok().flatten()?;
    files.into_iter().find(|file| dynacrawl_state::has_file(state, file))
}

impl Config {
    /// Refuses what would lose records that nobody has read, or a state. `serving`: for the daemon.
    ///
    /// # Errors
    /// When a combination of settings would do that.
    pub fn refuse_losses(&self, serving: bool) -> Result<(), ConfigError> {
        let keep_files = |problem: &str| Err(ConfigError::value("crawl.keep_files", problem));
        let Destination::File(path) = &self.crawl.output else {
            return match self.crawl.keep_files {
                0 => Ok(()),
                _ => keep_files("needs a file with a placeholder as crawl.output (--output)"),
            };
        };
        if self.crawl.keep_files > 0 && !path.is_template() {
            return keep_files(
                "needs a placeholder in crawl.output (--output), such as estate-{run_id}.jsonl: there is only one file",
            );
        }
        if self.crawl.keep_files > 0 && self.state.is_none() {
            return keep_files("needs a state, which remembers the files; name one with state.path (--state)");
        }
        if let Some(state) = &self.state
            && !path.is_template()
            && let Some(file) = collision(Path::new(&path.template), &state.path)
        {
            let problem =
                format!("{} is a file of the state; choose another name", Escaped(&file.display().to_string()));
            return Err(ConfigError::value(KEY, problem));
        }
        if path.has(Placeholder::RunId) || !path.is_replaced() {
            return Ok(());
        }
        if self.changes.emit.changes() && !self.crawl.dry_run {
            let problem = "the next run would replace the file, and with it changes that nobody may have read yet; put {run_id} \
                           into its name, such as estate-{run_id}.jsonl, or set changes.emit (--emit) to \"snapshot\"";
            return Err(ConfigError::value(KEY, problem));
        }
        if serving { self.refuse_fragments(path) } else { Ok(()) }
    }

    /// Refuses that a run of some targets replaces the file of others.
    fn refuse_fragments(&self, path: &OutputPath) -> Result<(), ConfigError> {
        if path.has(Placeholder::Schedule) {
            let mut files = BTreeMap::from([(in_file_name(None), "other runs".to_owned())]);
            for schedule in &self.serve.schedules {
                let name = format!("the schedule '{}'", Escaped(&schedule.name));
                if let Some(other) = files.insert(in_file_name(Some(&schedule.name)), name.clone()) {
                    let problem =
                        format!("{name} and {other} would write the same file; give the schedule another name");
                    return Err(ConfigError::value(KEY, problem));
                }
            }
            if self.serve.run_at_start && self.serve.has_token() {
                let problem = "with serve.run_at_start and serve.token, POST /api/v1/runs may crawl some of the targets, and \
                               what it writes would replace the file of the first run; put {run_id} into its name, such as \
                               estate-{schedule}-{run_id}.jsonl";
                return Err(ConfigError::value(KEY, problem));
            }
            return Ok(());
        }
        let restricted = self.serve.schedules.iter().find(|schedule| schedule.targets.is_some());
        let who = match restricted {
            Some(schedule) => format!("the schedule '{}' crawls", Escaped(&schedule.name)),
            None if self.serve.has_token() => "with serve.token, POST /api/v1/runs may crawl".to_owned(),
            None => return Ok(()),
        };
        let problem = format!(
            "{who} some of the targets, and what it writes would replace the file of all of them; put {{schedule}} or \
             {{run_id}} into its name, such as estate-{{schedule}}.jsonl"
        );
        Err(ConfigError::value(KEY, problem))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dynacrawl_model::{RunId, Timestamp};

    use super::{Destination, collision};
    use crate::config::Config;

    fn config(text: &str) -> Result<Config, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("test.toml");
        std::fs::write(&file, text).expect("written");
        Config::check_file(&file).map_err(|error| error.to_string())
    }

    fn refused(text: &str, serving: bool) -> Option<String> {
        config(text).expect("valid").refuse_losses(serving).err().map(|error| error.to_string())
    }

    fn output(text: &str) -> Result<Destination, String> {
        Destination::validate(text).map_err(|error| error.to_string())
    }

    #[test]
    fn placeholders_are_filled_in() {
        let run_id = RunId::generate();
        let at = Timestamp::from_millis(1_769_903_999_999).expect("a time");
        let resolved = |text: &str, schedule: Option<&str>| match output(text).expect("a file") {
            Destination::File(path) => path.resolve(run_id, at, schedule).display().to_string(),
            Destination::Stdout => "-".to_owned(),
        };
        assert_eq!(
            resolved("/data/{date}/{schedule}-{run_id}.jsonl", None),
            format!("/data/2026-01-31/manual-{run_id}.jsonl")
        );
        assert_eq!(resolved("/data/estate.jsonl", Some("nightly")), "/data/estate.jsonl");
        for (name, safe) in
            [("nightly", "nightly"), ("../x", "_._x"), ("..", "_."), ("a b/c", "a_b_c"), ("é.v2", "_.v2"), ("", "_")]
        {
            assert_eq!(resolved("/data/{schedule}", Some(name)), format!("/data/{safe}"));
        }
        assert!(Path::new(&resolved("x-{date}", None)).is_absolute());
        assert_eq!(output("-"), Ok(Destination::Stdout));
    }

    #[test]
    fn what_is_no_placeholder_is_refused() {
        for (wrong, shown) in [
            ("x-{run}.jsonl", "'{run}'"),
            ("{date}-{RUN_ID}", "'{RUN_ID}'"),
            ("x{", "'{'"),
            ("x}y", "'}'"),
            ("{{date}}", "'{{date}'"),
            ("{}", "'{}'"),
        ] {
            let refused = output(wrong).expect_err(wrong);
            assert!(refused.contains("crawl.output (--output)") && refused.contains(shown), "{refused}");
        }
    }

    #[test]
    fn changes_that_the_next_run_would_replace_are_refused() {
        let of = |output: &str, emit: &str| {
            let text =
                format!("[crawl]\noutput = \"{output}\"\n[state]\npath = \"s.db\"\n[changes]\nemit = \"{emit}\"\n");
            refused(&text, false)
        };
        for emit in ["changes", "both"] {
            for output in ["/data/x.jsonl", "/data/{date}.jsonl", "/data/{schedule}.jsonl"] {
                let said = of(output, emit).unwrap_or_else(|| panic!("{output} with {emit}"));
                assert!(said.contains("crawl.output (--output)") && said.contains("{run_id}"), "{said}");
            }
            for output in ["/data/{run_id}.jsonl", "-", "/dev/null"] {
                assert_eq!(of(output, emit), None, "{output} with {emit}");
            }
        }
        assert_eq!(of("/data/x.jsonl", "snapshot"), None);
    }

    #[test]
    fn a_file_of_all_targets_that_some_would_replace_is_refused_for_the_daemon() {
        let of = |output: &str, more: &str| format!("[crawl]\noutput = \"{output}\"\n{more}[[target]]\nname = \"a\"\n");
        let token = "[serve]\ntoken = { env = \"TOKEN\" }\n";
        let some = "[[schedule]]\nname = \"some\"\ncron = \"1 1 * * *\"\ntargets = [\"a\"]\n";
        let all = "[[schedule]]\nname = \"all\"\ncron = \"1 1 * * *\"\n";
        for (more, who) in [(token, "serve.token"), (some, "the schedule 'some'")] {
            for output in ["/data/x.jsonl", "/data/{date}.jsonl"] {
                let said = refused(&of(output, more), true).unwrap_or_else(|| panic!("{output} with {more}"));
                assert!(said.contains(who) && said.contains("{schedule}"), "{said}");
            }
            assert_eq!(refused(&of("/data/x.jsonl", more), false), None, "a crawl goes by no schedule");
            for output in ["/data/{schedule}.jsonl", "/data/{run_id}.jsonl", "-", "/dev/null"] {
                assert_eq!(refused(&of(output, more), true), None, "{output} with {more}");
            }
        }
        assert_eq!(refused(&of("/data/x.jsonl", all), true), None);
        let at_start = format!("{token}run_at_start = true\n");
        let said = refused(&of("/data/{schedule}.jsonl", &at_start), true).expect("both runs are manual ones");
        assert!(said.contains("serve.run_at_start") && said.contains("{run_id}"), "{said}");
        assert_eq!(refused(&of("/data/{run_id}.jsonl", &at_start), true), None);
    }

    #[test]
    fn schedules_whose_files_would_be_the_same_are_refused() {
        let of = |names: [&str; 2], output: &str| {
            let schedule = |name: &str| format!("[[schedule]]\nname = \"{name}\"\ncron = \"1 1 * * *\"\n");
            refused(&format!("[crawl]\noutput = \"{output}\"\n{}", names.map(schedule).concat()), true)
        };
        let names = ["a/b", "a b"];
        let said = of(names, "/data/{schedule}.jsonl").expect("refused");
        assert!(said.contains("would write the same file"), "{said}");
        assert_eq!(of(names, "/data/{schedule}-{run_id}.jsonl"), None);
        assert_eq!(of(["a", "b"], "/data/{schedule}.jsonl"), None);
    }

    #[test]
    fn keeping_files_needs_a_state_and_a_placeholder() {
        let of = |output: &str, state: &str| {
            refused(&format!("[crawl]\nkeep_files = 3\noutput = \"{output}\"\n{state}"), false)
        };
        let state = "[state]\npath = \"s.db\"\n";
        for (output, state) in [("-", state), ("/data/x.jsonl", state), ("/data/{date}.jsonl", "")] {
            let said = of(output, state).expect("refused");
            assert!(said.contains("crawl.keep_files"), "{said}");
        }
        assert_eq!(of("/data/{date}.jsonl", state), None);
    }

    #[test]
    fn an_output_is_no_file_of_the_state_whatever_leads_to_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let state = path("state.db");
        for own in ["state.db", "state.db-wal", "state.db-shm", "state.db-journal", "state.db.lock"] {
            assert_eq!(collision(&path(own), &state), Some(path(own)), "{own} is not there yet");
        }
        assert_eq!(collision(&path("state"), &path("state.partial")), Some(path("state.partial")));
        assert_eq!(collision(&path("out.jsonl"), &state), None);

        std::fs::write(&state, "x").and_then(|()| std::fs::create_dir(path("sub"))).expect("written");
        std::os::unix::fs::symlink(&state, path("link")).expect("a link");
        std::os::unix::fs::symlink(directory.path(), path("directory")).expect("a link");
        std::fs::hard_link(&state, path("hard")).expect("a link");
        std::fs::hard_link(&state, path("half.partial")).expect("a link");
        for other in ["link", "directory/state.db", "directory/state.db-wal", "sub/../state.db", "hard", "half"] {
            assert!(collision(&path(other), &state).is_some(), "{other}");
        }
        assert!(collision(&state, &path("link")).is_some());
    }
}
