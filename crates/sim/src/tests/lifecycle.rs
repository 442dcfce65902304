//! Accounts are suspended, and opt out of Regions, while the service runs.

use serde_json::json;

use super::client::{Client, Keys};
use super::{HOME, IRELAND, OTHER, ROLE_ARN, estate};
use crate::fixtures::small_table;
use crate::{
    Account, ChangeKind, Member, MemberState, Operation, Options, Organization, OrganizationalUnit, Simulator, Tables,
    UnknownAccount,
};

const BAHRAIN: &str = "me-south-1";
const UNUSED: &str = "200000000000";

/// The estate in an organization, with an account that exists only there, and one more Region.
fn start_with(organization: Organization) -> (Simulator, Client) {
    let unit = OrganizationalUnit::new("ou-abcd-11111111")
        .account(OTHER)
        .account(Member::new(UNUSED).state(MemberState::Closed));
    let mut estate = estate().organization(organization.root(OrganizationalUnit::new("r-abcd").unit(unit)));
    let tables = Tables::new().table("orders", &small_table("orders", HOME, BAHRAIN));
    estate.accounts[0].regions.insert(BAHRAIN.to_owned(), tables);
    let sim = Simulator::start(estate, &Options::default()).unwrap();
    let client = Client::new(sim.addr(), Keys::of(&Account::new(HOME)), "us-east-1");
    (sim, client)
}

fn start() -> (Simulator, Client) {
    start_with(Organization::new(HOME))
}

/// The statuses and states of the accounts below the unit.
fn states(client: &Client) -> Vec<(String, String)> {
    let accounts = client.organizations("ListAccountsForParent", "{\"ParentId\":\"ou-abcd-11111111\"}").json();
    let all = client.organizations("ListAccounts", "{}").json();
    assert_eq!(accounts["Accounts"].as_array().unwrap()[..], all["Accounts"].as_array().unwrap()[1..]);
    let accounts = accounts["Accounts"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    accounts.map(|account| (text(&account["Status"]), text(&account["State"]))).collect()
}

fn both(first: (&str, &str), second: (&str, &str)) -> Vec<(String, String)> {
    [first, second].map(|(status, state)| (status.to_owned(), state.to_owned())).to_vec()
}

#[test]
fn suspended_account_is_listed_as_suspended_until_reactivated() {
    let (sim, client) = start();
    let closed = ("SUSPENDED", "CLOSED");
    assert_eq!(states(&client), both(("ACTIVE", "ACTIVE"), closed));
    sim.suspend_account(OTHER).unwrap();
    assert_eq!(states(&client), both(("SUSPENDED", "SUSPENDED"), closed));
    sim.reactivate_account(OTHER).unwrap();
    sim.reactivate_account(UNUSED).unwrap();
    assert_eq!(states(&client), both(("ACTIVE", "ACTIVE"), ("ACTIVE", "ACTIVE")));
    let unknown = UnknownAccount { account_id: "000000000000".to_owned() };
    assert_eq!(sim.suspend_account("000000000000"), Err(unknown.clone()));
    assert_eq!(sim.reactivate_account("000000000000"), Err(unknown));
    let (sim, client) = start_with(Organization::new(HOME).without_states());
    sim.suspend_account(OTHER).unwrap();
    assert_eq!(states(&client), both(("SUSPENDED", ""), ("SUSPENDED", "")));
}

#[test]
fn roles_of_a_suspended_account_cannot_be_assumed() {
    let (sim, client) = start();
    let client = client.in_region(IRELAND);
    let assume = || client.assume(ROLE_ARN, "&ExternalId=ext-1");
    let session = client.with_keys(assume().keys());
    sim.suspend_account(OTHER).unwrap();
    let refused = assume();
    assert_eq!((refused.status, refused.code().as_str()), (403, "AccessDenied"));
    assert_eq!(
        refused.tag("Message").unwrap(),
        format!(
            "User: arn:aws:iam::111122223333:user/crawler is not authorized to perform: sts:AssumeRole on resource: {ROLE_ARN}"
        )
    );
    assert_eq!(session.describe("orders").status, 200);
    sim.expire_sessions();
    assert_eq!(session.describe("orders").code(), "ExpiredTokenException");
    sim.reactivate_account(OTHER).unwrap();
    assert_eq!(client.with_keys(assume().keys()).describe("orders").status, 200);
}

#[test]
fn account_without_an_organization_can_be_suspended() {
    let (sim, client) = super::start();
    sim.suspend_account(OTHER).unwrap();
    assert_eq!(client.assume(ROLE_ARN, "&ExternalId=ext-1").code(), "AccessDenied");
}

#[test]
fn opted_out_region_looks_like_one_that_was_never_enabled() {
    let (sim, client) = start();
    let enabled = || {
        let listed = client.list_regions("{\"RegionOptStatusContains\":[\"ENABLED\",\"ENABLED_BY_DEFAULT\"]}").json();
        let names = listed["Regions"].as_array().unwrap().iter();
        names.map(|region| region["RegionName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let there = client.in_region(BAHRAIN);
    assert_eq!(
        (enabled(), there.describe("orders").status),
        (vec![IRELAND.into(), BAHRAIN.into(), "us-east-1".into()], 200)
    );
    sim.opt_out(HOME, BAHRAIN).unwrap();
    assert_eq!(enabled(), [IRELAND, "us-east-1"]);
    let open = client.list_regions("{\"RegionOptStatusContains\":[\"DISABLED\"]}").json();
    assert!(
        open["Regions"].as_array().unwrap().contains(&json!({"RegionName": BAHRAIN, "RegionOptStatus": "DISABLED"}))
    );
    assert!(!client.describe_regions("").text().contains(BAHRAIN));
    assert!(client.describe_regions("&AllRegions=true").text().contains(BAHRAIN));
    for answer in [there.describe("orders"), there.dynamodb("ListTables", "{}")] {
        assert_eq!((answer.status, answer.code().as_str()), (400, "UnrecognizedClientException"));
    }
    assert_eq!(there.sts("Action=GetCallerIdentity").code(), "InvalidClientTokenId");
    assert_eq!(there.assume(ROLE_ARN, "&ExternalId=ext-1").code(), "RegionDisabledException");
    assert_eq!(there.describe_regions("").code(), "AuthFailure");
    let counts = sim.counts().of(HOME, BAHRAIN, Operation::DescribeTable);
    assert_eq!((counts.ok, counts.errors["UnrecognizedClientException"]), (1, 1));
    sim.opt_in(HOME, BAHRAIN).unwrap();
    assert_eq!((enabled().len(), there.describe("orders").status), (3, 200));
    // A Region that is enabled by default is not even named.
    sim.opt_out(HOME, IRELAND).unwrap();
    assert!(!client.describe_regions("&AllRegions=true").text().contains(IRELAND));
    assert!(sim.opt_out(HOME, "mars-1").is_err() && sim.opt_in(UNUSED, IRELAND).is_err());
}

#[test]
fn opting_out_applies_only_to_its_own_account() {
    let (sim, client) = start();
    sim.opt_out(HOME, IRELAND).unwrap();
    let session = client.with_keys(client.assume(ROLE_ARN, "&ExternalId=ext-1").keys()).in_region(IRELAND);
    assert_eq!(session.describe("orders").status, 200);
    sim.opt_out(OTHER, IRELAND).unwrap();
    assert_eq!(session.describe("orders").code(), "UnrecognizedClientException");
}

#[test]
fn tables_of_an_opted_out_region_stay_and_can_change() {
    let (sim, client) = start();
    let there = client.in_region(BAHRAIN);
    sim.opt_out(HOME, BAHRAIN).unwrap();
    assert_eq!(sim.log(), []);
    sim.put_table(HOME, BAHRAIN, "new", &small_table("new", HOME, BAHRAIN)).unwrap();
    assert_eq!(sim.log()[0].kind, ChangeKind::Created);
    assert_eq!(sim.table_names(HOME, BAHRAIN), ["new", "orders"]);
    sim.opt_in(HOME, BAHRAIN).unwrap();
    assert_eq!(there.dynamodb("ListTables", "{}").json()["TableNames"], json!(["new", "orders"]));
}
