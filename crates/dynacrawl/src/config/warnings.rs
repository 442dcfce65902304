//! Settings that are valid but most likely not what the user wants.

use dynacrawl_engine::settings::Target;

use super::valid::Config;
use crate::advice;

/// AWS's quota for ListTables, DescribeTable and GetResourcePolicy together, in requests a second
/// for each account and Region.
const QUOTA: u32 = 2_500;

impl Config {
    /// What the user should know before a run.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.run.endpoints.dynamodb_url.is_some() {
            // Quotas and Regions are AWS's.
            return warnings;
        }
        let rate = self.run.crawl.rate.map(|rate| rate.per_second.get());
        if let Some(rate) = rate.filter(|rate| *rate > QUOTA) {
            warnings.push(format!(
                "crawl.rate (--rate): {rate} is above AWS's quota of {QUOTA} requests a second for each account and Region; AWS \
                 will throttle the crawl and the account's other clients"
            ));
        }
        let groups = self.run.groups.iter().map(|group| &group.discovery);
        let mut named: Vec<_> =
            self.run.targets.iter().chain(groups).flat_map(|target: &Target| &target.regions).collect();
        named.sort();
        named.dedup();
        warnings.extend(named.into_iter().filter_map(advice::misspelt));
        warnings
    }

    /// What the user should know before the daemon starts.
    pub(crate) fn daemon_warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings();
        if self.serve.schedules.is_empty() && !self.serve.has_token() && !self.serve.run_at_start {
            warnings.push(
                "nothing starts a run: add a [[schedule]], serve.token for POST /api/v1/runs, or serve.run_at_start \
                 (--run-at-start)"
                    .to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Layer};

    fn warnings(change: impl FnOnce(&mut Layer)) -> Vec<String> {
        let mut layer = Layer::reference();
        layer.target = vec![crate::config::RawTarget {
            regions: Some(crate::config::RawRegions(vec!["eu-west-1".to_owned()])),
            ..Default::default()
        }];
        change(&mut layer);
        Config::validate(layer).expect("valid").daemon_warnings()
    }

    #[test]
    fn settings_that_are_most_likely_mistakes_are_named() {
        let nothing_starts = |warning: &String| warning.contains("nothing starts a run");
        assert!(warnings(|_| {}).iter().all(nothing_starts));
        assert_eq!(warnings(|layer| layer.serve.run_at_start = Some(true)), Vec::<String>::new());
        let fast = warnings(|layer| layer.crawl.rate = Some(1_000_000));
        assert!(fast[0].contains("AWS's quota of 2500"), "{fast:?}");
        let custom = warnings(|layer| {
            layer.crawl.rate = Some(1_000_000);
            layer.aws.endpoint_url = Some("http://127.0.0.1:8000".to_owned());
        });
        assert!(custom.iter().all(nothing_starts), "an emulator has quotas of its own");
        let misspelt = warnings(|layer| {
            layer.target[0].regions = Some(crate::config::RawRegions(vec!["eu-wset-1".to_owned()]));
        });
        assert!(misspelt[0].contains("Did you mean eu-west-1?"), "{misspelt:?}");
    }
}
