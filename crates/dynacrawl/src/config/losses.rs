//! Refuses combinations of settings that would lose unread records.

use std::collections::BTreeMap;
use std::path::Path;

use dynacrawl_engine::settings::{Destination, OutputPath, Placeholder, collision, in_file_name};
use dynacrawl_model::Escaped;

use super::error::ConfigError;
use super::valid::Config;

const KEY: &str = "crawl.output (--output)";

impl Config {
    /// Refuses settings that would lose unread records or a state. `serving`: for the daemon.
    ///
    /// # Errors
    /// If a combination of settings would do that.
    pub fn refuse_losses(&self, serving: bool) -> Result<(), ConfigError> {
        let keep_files = |problem: &str| Err(ConfigError::value("crawl.keep_files", problem));
        let Destination::File(path) = &self.run.crawl.output else {
            return match self.run.crawl.keep_files {
                0 => Ok(()),
                _ => keep_files("needs a file with a placeholder as crawl.output (--output)"),
            };
        };
        if self.run.crawl.keep_files > 0 && !path.is_template() {
            return keep_files(
                "needs a placeholder in crawl.output (--output), such as estate-{run_id}.jsonl, to have several files",
            );
        }
        if self.run.crawl.keep_files > 0 && self.run.state.is_none() {
            return keep_files("needs a state, which remembers the files; name one with state.path (--state)");
        }
        if let Some(state) = &self.run.state
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
        if self.run.changes.emit.changes() && !self.run.crawl.dry_run {
            let problem = "the next run would replace the file, and with it changes that may not have been read yet; put \
                           {run_id} into its name, such as estate-{run_id}.jsonl, or set changes.emit (--emit) to \"snapshot\"";
            return Err(ConfigError::value(KEY, problem));
        }
        if serving { self.refuse_fragments(path) } else { Ok(()) }
    }

    /// Refuses settings with which a run of some targets would replace the file of others.
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
                               its output would replace the file of the first run; put {run_id} into its name, such as \
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
            "{who} some of the targets, and its output would replace the file of all of them; put {{schedule}} or \
             {{run_id}} into its name, such as estate-{{schedule}}.jsonl"
        );
        Err(ConfigError::value(KEY, problem))
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn changes_that_the_next_run_would_replace_are_refused() {
        let of = |output: &str, emit: &str| {
            let text =
                format!("[crawl]\noutput = \"{output}\"\n[state]\npath = \"s.db\"\n[changes]\nemit = \"{emit}\"\n");
            refused(&text, false)
        };
        for emit in ["changes", "both"] {
            for output in ["/data/x.jsonl", "/data/{date}.jsonl", "/data/{schedule}.jsonl"] {
                let error = of(output, emit).unwrap_or_else(|| panic!("{output} with {emit}"));
                assert!(error.contains("crawl.output (--output)") && error.contains("{run_id}"), "{error}");
            }
            for output in ["/data/{run_id}.jsonl", "-", "/dev/null"] {
                assert_eq!(of(output, emit), None, "{output} with {emit}");
            }
        }
        assert_eq!(of("/data/x.jsonl", "snapshot"), None);
    }

    #[test]
    fn a_daemon_refuses_that_some_targets_replace_the_file_of_all() {
        let of = |output: &str, more: &str| format!("[crawl]\noutput = \"{output}\"\n{more}[[target]]\nname = \"a\"\n");
        let token = "[serve]\ntoken = { env = \"TOKEN\" }\n";
        let some = "[[schedule]]\nname = \"some\"\ncron = \"1 1 * * *\"\ntargets = [\"a\"]\n";
        let all = "[[schedule]]\nname = \"all\"\ncron = \"1 1 * * *\"\n";
        for (more, who) in [(token, "serve.token"), (some, "the schedule 'some'")] {
            for output in ["/data/x.jsonl", "/data/{date}.jsonl"] {
                let error = refused(&of(output, more), true).unwrap_or_else(|| panic!("{output} with {more}"));
                assert!(error.contains(who) && error.contains("{schedule}"), "{error}");
            }
            assert_eq!(refused(&of("/data/x.jsonl", more), false), None, "dynacrawl crawl has no schedules");
            for output in ["/data/{schedule}.jsonl", "/data/{run_id}.jsonl", "-", "/dev/null"] {
                assert_eq!(refused(&of(output, more), true), None, "{output} with {more}");
            }
        }
        assert_eq!(refused(&of("/data/x.jsonl", all), true), None);
        let at_start = format!("{token}run_at_start = true\n");
        let error = refused(&of("/data/{schedule}.jsonl", &at_start), true).expect("both runs are manual ones");
        assert!(error.contains("serve.run_at_start") && error.contains("{run_id}"), "{error}");
        assert_eq!(refused(&of("/data/{run_id}.jsonl", &at_start), true), None);
    }

    #[test]
    fn schedules_whose_files_would_be_the_same_are_refused() {
        let of = |names: [&str; 2], output: &str| {
            let schedule = |name: &str| format!("[[schedule]]\nname = \"{name}\"\ncron = \"1 1 * * *\"\n");
            refused(&format!("[crawl]\noutput = \"{output}\"\n{}", names.map(schedule).concat()), true)
        };
        let names = ["a/b", "a b"];
        let error = of(names, "/data/{schedule}.jsonl").expect("refused");
        assert!(error.contains("would write the same file"), "{error}");
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
            let error = of(output, state).expect("refused");
            assert!(error.contains("crawl.keep_files"), "{error}");
        }
        assert_eq!(of("/data/{date}.jsonl", state), None);
    }
}
