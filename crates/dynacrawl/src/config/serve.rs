//! `[serve]` and `[[schedule]]`: what the daemon does, and when.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use dynacrawl_daemon::schedule::{Schedule, ScheduleError};
use dynacrawl_daemon::settings::{MANUAL, NamedSchedule, ServeSettings};
use dynacrawl_engine::settings::known;
use dynacrawl_model::Escaped;

use super::error::ConfigError;
use super::raw;
use super::values::{duration, required};

impl raw::Serve {
    pub(super) fn validate(
        self,
        schedules: Vec<raw::Schedule>,
        target_names: &[String],
    ) -> Result<ServeSettings, ConfigError> {
        let key = "serve.listen (--listen)";
        let text = required(key, self.listen)?;
        let listen: SocketAddr = text.parse().map_err(|_| {
            let problem =
                format!("'{}' is not an address; expected the form 127.0.0.1:9464 or [::1]:9464", Escaped(&text));
            ConfigError::value(key, problem)
        })?;
        let token = self.token.map(|reference| reference.validate("serve.token")).transpose()?;
        if !listen.ip().is_loopback() && token.is_none() {
            let problem = format!(
                "{listen} can be reached from other machines, so it needs serve.token; set one, or listen on 127.0.0.1"
            );
            return Err(ConfigError::value(key, problem));
        }
        let allowed_hosts = self.allowed_hosts.iter().flatten().map(|host| host_name(host));
        let allowed_hosts = allowed_hosts.collect::<Result<_, _>>()?;
        let schedules = schedules.into_iter().enumerate().map(|(number, raw)| named(raw, number, target_names));
        let schedules: Vec<NamedSchedule> = schedules.collect::<Result<_, _>>()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = schedules.iter().find(|one| !names.insert(&one.name)) {
            let problem = format!("the name '{}' is taken by another schedule", Escaped(&twice.name));
            return Err(ConfigError::value("schedule.name", problem));
        }
        if schedules.iter().any(|schedule| schedule.name == MANUAL) {
            let problem = format!("'{MANUAL}' stands for runs that no schedule starts; choose another name");
            return Err(ConfigError::value("schedule.name", problem));
        }
        Ok(ServeSettings {
            listen,
            token,
            allowed_hosts,
            run_at_start: required("serve.run_at_start", self.run_at_start)?,
            reload_every: duration("serve.reload_every", self.reload_every.as_deref())?,
            schedules,
        })
    }
}

/// A name that a Host header can have.
fn host_name(text: &str) -> Result<String, ConfigError> {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if text.split('.').all(is_part) {
        return Ok(text.to_ascii_lowercase());
    }
    let problem =
        format!("'{}' is not a host name; expected the form dynacrawl.example.com, without a port", Escaped(text));
    Err(ConfigError::value("serve.allowed_hosts", problem))
}

fn named(raw: raw::Schedule, number: usize, target_names: &[String]) -> Result<NamedSchedule, ConfigError> {
    let name = raw.name.unwrap_or_else(|| format!("schedule-{}", number + 1));
    let key = |field: &str| format!("schedule '{}': {field}", Escaped(&name));
    let cron = required(&key("cron"), raw.cron)?;
    let zone = raw.time_zone.as_deref().unwrap_or("UTC");
    let jitter = raw.jitter.as_deref().unwrap_or("0s");
    let jitter = if jitter == "0s" { Duration::ZERO } else { duration(&key("jitter"), Some(jitter))? };
    let schedule = Schedule::new(&cron, zone, jitter).map_err(|error| {
        let field = if matches!(error, ScheduleError::TimeZone(_)) { "time_zone" } else { "cron" };
        ConfigError::value(key(field), error)
    })?;
    let typed = (cron, zone.to_owned());
    let targets = raw.targets.filter(|targets| !targets.is_empty());
    let unknown = known(targets.as_deref().unwrap_or_default(), target_names).err();
    if let Some(unknown) = unknown {
        return Err(unknown.in_key(&key("targets"), "the configuration").into());
    }
    Ok(NamedSchedule { name, schedule, typed, targets })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refused(text: &str) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("test.toml");
        std::fs::write(&file, text).expect("written");
        let error = Config::check_file(&file).map(drop).expect_err(text).to_string();
        error.split_once(": ").expect("a place").1.to_owned()
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token() {
        for listen in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:80"] {
            let problem = refused(&format!("[serve]\nlisten = \"{listen}\"\n"));
            assert!(problem.starts_with("serve.listen: ") && problem.contains("needs serve.token"), "{problem}");
        }
        let problem = refused("[serve]\nlisten = \"localhost\"\n");
        assert!(problem.contains("expected the form 127.0.0.1:9464"), "{problem}");
    }

    #[test]
    fn an_allowed_host_is_a_name_and_nothing_else() {
        for host in ["https://example.com", "example.com:80", "*", "", "a..b", "[::1]", "a b"] {
            let problem = refused(&format!("[serve]\nallowed_hosts = [\"{host}\"]\n"));
            assert!(problem.starts_with("serve.allowed_hosts: ") && problem.contains("without a port"), "{problem}");
        }
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("test.toml");
        std::fs::write(&file, "[serve]\nallowed_hosts = [\"DynaCrawl.Example.com\"]\n").expect("written");
        let config = Config::check_file(&file).expect("valid");
        assert_eq!(config.serve.allowed_hosts, ["dynacrawl.example.com"]);
    }

    #[test]
    fn a_schedule_cannot_have_the_name_of_manual_runs() {
        let problem = refused("[[schedule]]\nname = \"manual\"\ncron = \"@daily\"\n");
        assert!(problem.starts_with("schedule.name: 'manual'"), "{problem}");
    }

    #[test]
    fn an_error_of_a_schedule_names_the_schedule() {
        let schedule = |rest: &str| refused(&format!("[[schedule]]\nname = \"nightly\"\n{rest}\n"));
        for (rest, expected) in [
            ("", "schedule 'nightly': cron: is missing"),
            ("cron = \"61 * * * *\"", "schedule 'nightly': cron: '61 * * * *' is not a cron expression"),
            ("cron = \"1 1 * * *\"\ntime_zone = \"Mars\"", "'Mars' is not a time zone"),
            ("cron = \"1 1 * * *\"\njitter = \"soon\"", "schedule 'nightly': jitter: 'soon' is not a duration"),
            (
                "cron = \"1 1 * * *\"\ntargets = [\"a\"]",
                "schedule 'nightly': targets: 'a' is not a target of the configuration",
            ),
        ] {
            let problem = schedule(rest);
            assert!(problem.contains(expected), "{problem}");
        }
        let one = "[[schedule]]\nname = \"a\"\ncron = \"1 1 * * *\"\n";
        assert!(refused(&one.repeat(2)).contains("the name 'a' is taken"));
    }
}
