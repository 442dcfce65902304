//! Where the records go.

use std::path::{Path, PathBuf};

use dynacrawl_model::{Escaped, RunId, Timestamp};
use dynacrawl_sinks::Output;

use super::error::SettingError;

const KEY: &str = "crawl.output (--output)";

/// Where the records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Nowhere: the sinks get everything.
    Nowhere,
    /// A file.
    File(OutputPath),
}

impl Destination {
    /// Whether the path has the placeholder.
    pub fn has(&self, placeholder: Placeholder) -> bool {
        matches!(self, Self::File(path) if path.has(placeholder))
    }
}

/// A file's path, with placeholders that each run fills in once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPath {
    /// An absolute path, so that it does not depend on the directory in which dynacrawl starts.
    pub template: String,
}

/// A placeholder in an output's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{run_id}`
    RunId,
    /// `{date}`: the date of the run's start, in UTC.
    Date,
    /// `{schedule}`: the schedule's name, made safe for a file name; `manual` for other runs.
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
    /// Parses an output as the user typed it.
    ///
    /// # Errors
    /// If it is empty, or has an unknown placeholder.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        match text {
            "" => Err(SettingError::new(KEY, "is empty; expected a file or -")),
            "-" => Ok(Self::Stdout),
            path => OutputPath::parse(path).map(Self::File),
        }
    }

    /// The template, as the state keeps it.
    pub fn template(&self) -> &str {
        match self {
            Self::Stdout => "-",
            Self::Nowhere => "nowhere",
            Self::File(path) => &path.template,
        }
    }
}

impl OutputPath {
    fn parse(text: &str) -> Result<Self, SettingError> {
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            rest = &rest[at..];
            let Some(placeholder) = Placeholder::ALL.iter().find(|one| rest.starts_with(one.as_str())) else {
                let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                let problem = format!(
                    "'{}' is not a placeholder; expected {{run_id}}, {{date}} or {{schedule}}",
                    Escaped(&rest[..end])
                );
                return Err(SettingError::new(KEY, problem));
            };
            rest = &rest[placeholder.as_str().len()..];
        }
        let whole = std::path::absolute(text).unwrap_or_else(|_| text.into());
        Ok(Self { template: whole.display().to_string() })
    }

    /// Whether the path has the placeholder.
    pub fn has(&self, placeholder: Placeholder) -> bool {
        self.template.contains(placeholder.as_str())
    }

    /// Whether the path has any placeholder.
    pub fn is_template(&self) -> bool {
        Placeholder::ALL.into_iter().any(|one| self.has(one))
    }

    /// The path of a run that starts at a time.
    pub fn resolve(&self, run_id: RunId, at: Timestamp, schedule: Option<&str>) -> PathBuf {
        // A time has the form 2026-01-31T00:00:00.000Z.
        let at = at.to_string();
        let date = at.split('T').next().unwrap_or_default();
        self.template
            .replace(Placeholder::RunId.as_str(), run_id.as_str())
            .replace(Placeholder::Date.as_str(), date)
            .replace(Placeholder::Schedule.as_str(), &in_file_name(schedule))
            .into()
    }

    /// Whether a run would replace a file, instead of writing to a stream. The path of a template
    /// is not checked.
    pub fn is_replaced(&self) -> bool {
        self.is_template() || Output::replaces(Path::new(&self.template))
    }
}

/// A schedule's name, as part of a file name.
pub fn in_file_name(schedule: Option<&str>) -> String {
    let Some(name) = schedule else { return "manual".to_owned() };
    let safe = name.char_indices().map(|(at, c)| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
        '.' if at > 0 => c,
        _ => '_',
    });
    let safe: String = safe.collect();
    if safe.is_empty() { "_".to_owned() } else { safe }
}

/// The file of an output that is also a file of the state: writing it would destroy the state.
pub fn collision(output: &Path, state: &Path) -> Option<PathBuf> {
    let files = Output::files(output).ok().flatten()?;
    files.into_iter().find(|file| dynacrawl_state::has_file(state, file))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dynacrawl_model::{RunId, Timestamp};

    use super::{Destination, collision};

    fn output(text: &str) -> Result<Destination, String> {
        Destination::parse(text).map_err(|error| error.to_string())
    }

    #[test]
    fn placeholders_are_filled_in() {
        let run_id = RunId::generate();
        let at = Timestamp::from_millis(1_769_903_999_999).expect("a time");
        let resolved = |text: &str, schedule: Option<&str>| match output(text).expect("a file") {
            Destination::File(path) => path.resolve(run_id, at, schedule).display().to_string(),
            Destination::Stdout | Destination::Nowhere => "-".to_owned(),
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
    fn an_unknown_placeholder_is_refused() {
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
    fn an_output_that_is_a_file_of_the_state_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let state = path("state.db");
        for own in ["state.db", "state.db-wal", "state.db-shm", "state.db-journal", "state.db.lock"] {
            assert_eq!(collision(&path(own), &state), Some(path(own)), "{own} does not exist yet");
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
