//! `dynacrawl check`: credentials and roles.

use dynacrawl_sim::{Account, Effect, Estate, FaultRule, Operation, Role, Tables};

use crate::check::checked;
use crate::command::Dynacrawl;
use crate::support::{HOME, IRELAND, VIRGINIA, closed_port, ireland, session, simulate, with_role};

const WRONG_SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";

fn check() -> Dynacrawl {
    Dynacrawl::new("check").args(["--region", IRELAND])
}

/// Checks that this failure of the credentials is the only one, and ends the check.
#[track_caller]
fn fails_at_once(check: Dynacrawl, id: &str, code: &str) {
    let found = checked(check);
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", code)]), "{:?}", found.checks);
    assert_eq!(found.ids().last(), Some(&id), "no Region is checked after that");
}

#[test]
fn each_kind_of_wrong_keys_has_its_own_code() {
    let (sim, home) = ireland(3);
    let at = || check().sim(&sim);
    fails_at_once(at().aws_keys("AKIAIOSFODNN7EXAMPLE", WRONG_SECRET, None), "credentials", "invalid_access_key");
    fails_at_once(at().aws_keys(&home.access_key_id, WRONG_SECRET, None), "credentials", "invalid_secret_key");
    fails_at_once(at().keys(&home).env("AWS_SESSION_TOKEN", "bogus"), "credentials", "invalid_access_key");
    fails_at_once(at(), "credentials", "no_credentials");
    assert_eq!(sim.counts().requests(Operation::ListTables), 0);
}

#[test]
fn an_ended_session_has_its_own_code() {
    let (sim, member) = with_role(&Role::new("Outside").trusts(HOME), 3);
    let keys = session(&sim, &member, member.role_arn.as_deref().expect("a role"));
    let with = || {
        let token = keys.session_token.as_deref();
        check().sim(&sim).aws_keys(&keys.access_key_id, &keys.secret_access_key, token)
    };
    assert_eq!(checked(with()).code, 0);
    sim.expire_sessions();
    fails_at_once(with(), "credentials", "expired_token");
}

#[test]
fn a_clock_that_is_off_is_not_reported_as_a_wrong_secret() {
    for seconds in [3_600, -3_600] {
        let (sim, home) = ireland(3);
        sim.set_clock_skew(seconds);
        fails_at_once(check().sim(&sim).keys(&home), "credentials", "clock_skew");
    }
}

#[test]
fn without_sts_the_check_still_finds_wrong_keys() {
    let (sim, home) = ireland(3);
    let at = || check().args(["--endpoint-url", &sim.url(), "--sts-endpoint-url", &closed_port()]);
    let found = checked(at().keys(&home));
    assert_eq!((found.code, found.troubles()), (0, vec![("warn", "identity_unknown")]));
    for (id, secret, code) in [
        (home.access_key_id.as_str(), WRONG_SECRET, "invalid_secret_key"),
        ("AKIAIOSFODNN7EXAMPLE", WRONG_SECRET, "invalid_access_key"),
    ] {
        let found = checked(at().aws_keys(id, secret, None));
        assert_eq!((found.code, found.troubles()), (4, vec![("warn", "identity_unknown"), ("fail", code)]));
    }
}

#[test]
fn a_role_that_requires_its_external_id_passes() {
    let (sim, member) = with_role(&Role::new("Reader").trusts(HOME).external_id("acme-42"), 3);
    let role = member.role_arn.clone().expect("a role");
    let with = |external_id: Option<&str>| {
        let flags = external_id.into_iter().flat_map(|id| ["--external-id".to_owned(), id.to_owned()]);
        check().sim(&sim).keys(&member).args(["--role-arn", &role]).args(flags)
    };
    let found = checked(with(Some("acme-42")).args(["--region", VIRGINIA]));
    assert_eq!((found.code, found.troubles()), (0, vec![]));
    assert_eq!(found.ids()[..3], ["credentials", "assume_role", "external_id"]);
    assert_eq!(sim.counts().assumed_roles[&role], 2, "with its external id, and without");

    sim.reset_counts();
    let found = checked(with(Some("acme-42")).arg("--no-external-id-probe"));
    assert_eq!((found.code, sim.counts().assumed_roles[&role]), (0, 1));
    assert!(!found.ids().contains(&"external_id"));
    sim.reset_counts();
    let by_file = with(Some("acme-42")).config("[check]\nexternal_id_probe = false\n");
    assert_eq!((checked(by_file).code, sim.counts().assumed_roles[&role]), (0, 1));

    fails_at_once(with(Some("acme-43")), "assume_role", "assume_role_denied");
    fails_at_once(with(None), "assume_role", "assume_role_denied");
    let nobody = role.replace("Reader", "Nobody");
    fails_at_once(check().sim(&sim).keys(&member).args(["--role-arn", &nobody]), "assume_role", "assume_role_denied");
}

#[test]
fn a_role_that_does_not_require_its_external_id_is_a_warning() {
    let (sim, member) = with_role(&Role::new("Open").trusts(HOME), 3);
    let role = member.role_arn.clone().expect("a role");
    let with = || check().sim(&sim).keys(&member).args(["--role-arn", &role, "--external-id", "acme-42"]);
    let found = checked(with());
    assert_eq!((found.code, found.troubles()), (0, vec![("warn", "external_id_not_required")]));
    let text = with().run().succeeded();
    assert!(text.contains("WARN external_id") && text.contains("sts:ExternalId"), "{text}");
    // Without a configured external id, there is nothing to try.
    sim.reset_counts();
    let found = checked(check().sim(&sim).keys(&member).args(["--role-arn", &role]));
    assert_eq!((found.code, found.troubles(), sim.counts().assumed_roles[&role]), (0, vec![], 1));
}

#[test]
fn a_role_that_could_not_be_tried_has_its_own_code() {
    let (sim, member) = with_role(&Role::new("Reader").trusts(HOME), 3);
    let role = member.role_arn.clone().expect("a role");
    let soon = || check().config("[aws]\ncredentials_timeout = \"2s\"\n");
    let with = || soon().sim(&sim).keys(&member).args(["--role-arn", &role]);
    fails_at_once(with().args(["--duration", "2h"]), "assume_role", "assume_role_failed");
    sim.add_fault(FaultRule::new(Effect::Status(500)).operation(Operation::AssumeRole));
    fails_at_once(with(), "assume_role", "sts_unreachable");
    let found = checked(soon().keys(&member).args([
        "--role-arn",
        &role,
        "--endpoint-url",
        &sim.url(),
        "--sts-endpoint-url",
        &closed_port(),
    ]));
    assert_eq!((found.code, found.troubles()), (4, vec![("warn", "identity_unknown"), ("fail", "sts_unreachable")]));
    let found =
        checked(check().sim(&sim).aws_keys(&member.access_key_id, WRONG_SECRET, None).args(["--role-arn", &role]));
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "invalid_secret_key")]));
}

#[test]
fn keys_that_only_the_emulator_knows_are_a_warning() {
    let home = Account::new(HOME).access("home");
    let (other, _) = with_role(&Role::new("Other").trusts(HOME), 0);
    // Only DynamoDB is an emulator. Whether AWS's own STS knows the keys does not matter.
    let keys = Account::new("999988887777").region(IRELAND, Tables::new().generated(2)).access("stand-in");
    let stand_in = Account::new("999988887777").region(IRELAND, Tables::new().generated(2));
    let dynamodb = simulate(Estate::new([stand_in]));
    let check = || check().args(["--endpoint-url", &dynamodb.url()]).env("AWS_ENDPOINT_URL_STS", other.url());
    let found = checked(check().keys(&keys));
    assert_eq!((found.code, found.troubles()), (0, vec![("warn", "identity_unknown")]));
    let found = checked(check().keys(&home));
    assert_eq!(found.code, 4, "the emulator does not know them either: {:?}", found.checks);
}

#[test]
fn every_role_of_a_chain_is_checked_for_its_external_id() {
    let open = Role::new("Open").trusts(HOME);
    let home = Account::new(HOME).region(IRELAND, Tables::new());
    let middle = Account::new("222233334444").role(open).region(IRELAND, Tables::new());
    let open_arn = middle.role_arn("Open");
    let reader = Role::new("Reader").trusts(&open_arn).external_id("reader-2");
    let last = Account::new("333344445555").role(reader).region(IRELAND, Tables::new().generated(2));
    let reader_arn = last.role_arn("Reader");
    let access = home.access("home");
    let sim = simulate(Estate::new([home, middle, last]));
    let with_chain = |first: &str, second: &str| {
        let step = |arn: &str, id: &str| format!("{{ arn = \"{arn}\", external_id = \"{id}\" }}");
        let chain = format!("{}, {}", step(first, "open-1"), step(second, "reader-2"));
        let config = format!("[[target]]\nname = \"last\"\nregions = [\"{IRELAND}\"]\nassume_role = [{chain}]\n");
        checked(Dynacrawl::new("check").sim(&sim).keys(&access).config(&config))
    };
    let found = with_chain(&open_arn, &reader_arn);
    assert_eq!((found.code, found.troubles()), (0, vec![("warn", "external_id_not_required")]));
    assert_eq!(found.ids().iter().filter(|id| **id == "external_id").count(), 2);
    // The message names the denied role.
    let missing = open_arn.replace("Open", "Missing");
    let found = with_chain(&missing, &reader_arn);
    assert_eq!((found.code, found.troubles()), (4, vec![("fail", "assume_role_denied")]));
    assert!(found.checks.iter().any(|check| check.to_string().contains(&missing)), "{:?}", found.checks);
}
