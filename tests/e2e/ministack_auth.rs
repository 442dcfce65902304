//! Authentication and permissions that a server of another project enforces.

use serde_json::Value;

use crate::check::checked;
use crate::command::{Crawled, Dynacrawl};
use crate::others::same_as_oracle;
use crate::servers::{self, Creds, Server};
use crate::support::{IRELAND, VIRGINIA};

const TABLES: usize = 60;
const CHAIN: &str = "chain";

/// A server with accounts, users, roles and tables.
struct Organization {
    server: Server,
    iam: Value,
}

impl Organization {
    fn start() -> Self {
        let server = servers::ministack(true);
        let iam = servers::iam_setup(&server);
        for account in ["home", "member", "chained"] {
            let root = Creds::from_json(&iam["accounts"][account]);
            servers::seed(&server, TABLES, &[IRELAND, VIRGINIA], &root);
        }
        Self { server, iam }
    }

    fn text(&self, pointer: &str) -> &str {
        self.iam.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {}", self.iam))
    }

    /// A command with a user's keys.
    fn by(&self, command: &str, user: &str) -> Dynacrawl {
        let keys = Creds::from_json(&self.iam["users"][user]);
        Dynacrawl::new(command)
            .endpoint(&self.server.url)
            .aws_keys(&keys.access_key_id, &keys.secret_access_key, None)
            .args(["--rate", "0"])
    }

    /// A command of the crawler with a role, and an external id, if any.
    fn with_role(&self, command: &str, role: &str, external_id: Option<&str>) -> Dynacrawl {
        let role = self.text(&format!("/roles/{role}/arn"));
        let flags = external_id.into_iter().flat_map(|id| ["--external-id".to_owned(), id.to_owned()]);
        self.by(command, "crawler").args(["--region", IRELAND, "--role-arn", role]).args(flags)
    }

    /// The correct external id.
    fn external_id(&self) -> &str {
        self.text("/roles/guarded/external_id")
    }

    /// A configuration with both roles of the chain.
    fn chain(&self, external_id: &str) -> String {
        let step = |role: &str, id: &str| {
            let arn = self.text(&format!("/roles/{role}/arn"));
            format!("{{ arn = \"{arn}\", external_id = \"{id}\" }}")
        };
        format!(
            "[[target]]\nname = \"{CHAIN}\"\nregions = [\"{IRELAND}\"]\nassume_role = [{}, {}]\n",
            step("guarded", self.external_id()),
            step("chained", external_id)
        )
    }

    /// Checks that Regions of an account were crawled completely.
    #[track_caller]
    fn whole(&self, crawled: &Crawled, account: &str, regions: &[&str]) {
        assert_eq!(crawled.code, 0, "{}", crawled.stderr);
        let root = Creds::from_json(&self.iam["accounts"][account]);
        for region in regions {
            assert_eq!(crawled.scope(region)["scope"]["account_id"], self.iam["accounts"][account]["account_id"]);
            same_as_oracle(crawled, region, &servers::oracle(&self.server, region, &root), TABLES);
        }
    }
}

/// Checks that nothing was listed, with this outcome and one of these codes.
#[track_caller]
fn nothing(crawl: Dynacrawl, outcome: &str, codes: &[&str]) {
    let crawled = crawl.records();
    assert_eq!(crawled.code, 4, "{}", crawled.stderr);
    let scope = crawled.scope(IRELAND);
    assert_eq!(scope["outcome"], outcome, "{scope}");
    assert!(codes.iter().any(|code| scope["problems"][0]["code"] == *code), "{scope}");
}

#[test]
fn users_crawl_what_their_policies_allow() {
    let organization = Organization::start();
    let crawl = |user: &str| organization.by("crawl", user).args(["--region", IRELAND]);
    let crawled = organization.by("crawl", "crawler").args(["--region", "eu-west-1,us-east-1"]).records();
    organization.whole(&crawled, "home", &[IRELAND, VIRGINIA]);

    nothing(crawl("nobody"), "denied", &["AccessDeniedException"]);
    nothing(crawl("describer"), "denied", &["AccessDeniedException"]);

    let lister = crawl("lister").records();
    assert_eq!((lister.code, lister.names().len()), (3, 0));
    assert_eq!(lister.scope(IRELAND)["counts"]["denied"], TABLES);
    assert!(lister.failures().iter().all(|(_, reason, code)| (*reason, *code) == ("denied", "AccessDeniedException")));

    let partial = crawl("partial").records();
    assert_eq!(partial.code, 3);
    let failures = partial.failures();
    let denied: Vec<_> = failures.iter().map(|(name, ..)| *name).collect();
    assert!(!denied.is_empty() && denied.iter().all(|name| name.ends_with('7')), "{denied:?}");
    assert_eq!(partial.names().len() + denied.len(), TABLES);
    assert!(partial.names().iter().all(|name| !name.contains('-') || !name.ends_with('7')), "{:?}", partial.names());

    let one_region = organization.by("crawl", "one_region").args(["--region", "eu-west-1,us-east-1"]).records();
    assert_eq!(one_region.code, 3);
    assert_eq!(one_region.scope(IRELAND)["outcome"], "complete");
    assert_eq!(one_region.scope(VIRGINIA)["outcome"], "denied", "a denial is not a Region that is not enabled");

    let wrong = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";
    let with_keys = |id: &str| {
        Dynacrawl::crawl().endpoint(&organization.server.url).aws_keys(id, wrong, None).args(["--region", IRELAND])
    };
    nothing(
        with_keys(organization.text("/users/crawler/access_key_id")),
        "auth_failed",
        &["InvalidSignatureException"],
    );
    nothing(with_keys("AKIAIOSFODNN7EXAMPLE"), "auth_failed", &["UnrecognizedClientException"]);
}

#[test]
fn roles_can_be_assumed_only_by_those_they_trust() {
    let organization = Organization::start();
    let right = organization.external_id();
    let guarded = |id: Option<&str>| organization.with_role("crawl", "guarded", id);
    organization.whole(&guarded(Some(right)).records(), "member", &[IRELAND]);
    nothing(guarded(Some("another")), "auth_failed", &["AccessDenied"]);
    nothing(guarded(None), "auth_failed", &["AccessDenied"]);
    organization.whole(&organization.with_role("crawl", "unguarded", None).records(), "member", &[IRELAND]);
    nothing(organization.with_role("crawl", "powerless", None), "denied", &["AccessDeniedException"]);

    let chained = |id: &str| organization.by("crawl", "crawler").config(&organization.chain(id));
    organization.whole(&chained(right).records(), "chained", &[IRELAND]);
    nothing(chained("another"), "auth_failed", &["AccessDenied"]);
    // The last role trusts only the other role.
    nothing(organization.with_role("crawl", "chained", Some(right)), "auth_failed", &["AccessDenied"]);

    let user = Creds::from_json(&organization.iam["users"]["crawler"]);
    let session =
        servers::assume(&organization.server, &user, organization.text("/roles/guarded/arn"), Some(right), 900);
    let with_session = |token: &str| {
        Dynacrawl::crawl()
            .endpoint(&organization.server.url)
            .aws_keys(&session.access_key_id, &session.secret_access_key, Some(token))
            .args(["--region", IRELAND])
    };
    let token = session.session_token.as_deref().expect("a session");
    organization.whole(&with_session(token).records(), "member", &[IRELAND]);
    nothing(with_session("bogus-token"), "auth_failed", &["UnrecognizedClientException"]);
}

#[test]
fn a_check_has_a_code_for_each_problem() {
    let organization = Organization::start();
    let right = organization.external_id();
    let user = |user: &str| checked(organization.by("check", user).args(["--region", IRELAND, "--all"]));
    let role = |role: &str, id: Option<&str>| checked(organization.with_role("check", role, id));

    let found = user("crawler");
    assert_eq!((found.code, found.troubles()), (0, vec![]));
    let found = user("nobody");
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "list_tables_denied")]));
    for name in ["lister", "partial"] {
        let found = user(name);
        assert_eq!((found.code, found.troubles()), (4, vec![("fail", "describe_table_denied")]), "{name}");
    }
    let found = checked(organization.by("check", "one_region").args(["--region", "eu-west-1,us-east-1"]));
    assert_eq!((found.code, found.troubles()), (3, vec![("fail", "list_tables_denied")]));

    let found = role("guarded", Some(right));
    assert_eq!((found.code, found.troubles()), (0, vec![]), "{:?}", found.checks);
    assert!(found.ids().contains(&"external_id"));
    let found = role("unguarded", Some(right));
    assert_eq!((found.code, found.troubles()), (0, vec![("warn", "external_id_not_required")]));
    for (name, id) in [("guarded", Some("another")), ("guarded", None), ("chained", Some(right))] {
        let found = role(name, id);
        assert_eq!((found.code, found.troubles()), (4, vec![("fail", "assume_role_denied")]), "{name} with {id:?}");
    }
    let found = role("powerless", None);
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "list_tables_denied")]));
    let found = checked(organization.by("check", "crawler").config(&organization.chain(right)));
    assert_eq!((found.code, found.troubles()), (0, vec![]), "{:?}", found.checks);

    let wrong = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";
    let with_keys = |id: &str| {
        let check = Dynacrawl::new("check").endpoint(&organization.server.url).aws_keys(id, wrong, None);
        checked(check.args(["--region", IRELAND]))
    };
    let found = with_keys(organization.text("/users/crawler/access_key_id"));
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "invalid_secret_key")]));
    let found = with_keys("AKIAIOSFODNN7EXAMPLE");
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "invalid_access_key")]));
}
