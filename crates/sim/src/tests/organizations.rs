//! AWS Organizations.

use serde_json::{Value, json};

use super::client::{Client, Keys};
use super::{HOME, IRELAND, OTHER};
use crate::{
    Account, Denial, Effect, Estate, FaultRule, Member, MemberState, Operation, Options, Organization,
    OrganizationalUnit, Quota, Simulator, Tables,
};

const STRANGER: &str = "777788889999";

/// A root with the management account, and two units one below the other; the lower one has 23 accounts.
fn organization() -> Organization {
    let lower = (0..23).fold(OrganizationalUnit::new("ou-abcd-22222222"), |unit, index| {
        unit.account(format!("{:012}", 200_000_000_000_u64 + index))
    });
    let upper = OrganizationalUnit::new("ou-abcd-11111111")
        .name("Workloads")
        .account(Member::new(OTHER).name("orders").state(MemberState::PendingClosure))
        .unit(lower);
    Organization::new(HOME).delegated_administrator(OTHER).root(OrganizationalUnit::new("r-abcd").unit(upper))
}

/// The accounts have only Ireland. Organizations answers in us-east-1 nevertheless.
fn start(organization: Option<Organization>, options: &Options) -> (Simulator, Client) {
    let accounts = [HOME, OTHER, STRANGER].map(|id| Account::new(id).region(IRELAND, Tables::new()));
    let estate = Estate { organization, ..Estate::new(accounts) };
    let sim = Simulator::start(estate, options).unwrap();
    let client = Client::new(sim.addr(), Keys::of(&Account::new(HOME)), "us-east-1");
    (sim, client)
}

/// The ids on each page of a list.
fn pages(client: &Client, operation: &str, request: &Value) -> Vec<Vec<String>> {
    let mut request = request.clone();
    let mut pages = Vec::new();
    loop {
        let answer = client.organizations(operation, &request.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut page = answer.json();
        let next = page.as_object_mut().unwrap().remove("NextToken");
        let items = page.as_object().unwrap().values().next().unwrap().as_array().unwrap();
        pages.push(items.iter().map(|item| item["Id"].as_str().unwrap().to_owned()).collect());
        let Some(next) = next else { return pages };
        request["NextToken"] = next;
    }
}

fn sizes(client: &Client, operation: &str, request: &Value) -> Vec<usize> {
    pages(client, operation, request).iter().map(Vec::len).collect()
}

#[test]
fn accounts_have_the_fields_that_aws_sends() {
    let (_sim, client) = start(Some(organization()), &Options::default());
    let answer = client.organizations("ListAccounts", "{\"MaxResults\":2}");
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.1"));
    assert_eq!(answer.header("x-amzn-requestid").map(str::len), Some(36));
    let accounts = answer.json()["Accounts"].clone();
    assert_eq!((&accounts[0]["Id"], &accounts[0]["JoinedMethod"]), (&json!(HOME), &json!("INVITED")));
    let mut account = accounts[1].clone();
    let joined = account["JoinedTimestamp"].take().as_f64().unwrap();
    assert!((1.5e9..1.8e9).contains(&joined), "{joined}");
    let arn = account["Arn"].take();
    let (head, tail) = arn.as_str().unwrap().split_once("/o-").unwrap();
    assert_eq!((head, &tail[10..]), ("arn:aws:organizations::111122223333:account", "/444455556666"));
    assert_eq!(
        account,
        json!({
            "Id": OTHER, "Arn": null, "Email": "aws+444455556666@example.com", "Name": "orders", "Status": "PENDING_CLOSURE",
            "State": "PENDING_CLOSURE", "JoinedMethod": "CREATED", "JoinedTimestamp": null,
        })
    );
}

#[test]
fn all_accounts_are_listed_in_pages_of_twenty() {
    let (_sim, client) = start(Some(organization()), &Options::default());
    assert_eq!(sizes(&client, "ListAccounts", &json!({})), [20, 5]);
    assert_eq!(sizes(&client, "ListAccounts", &json!({"MaxResults": 10})), [10, 10, 5]);
    let ids = pages(&client, "ListAccounts", &json!({"MaxResults": 7})).concat();
    assert_eq!((&*ids[0], &*ids[1], &*ids[24]), (HOME, OTHER, "200000000022"));
    for request in ["{\"MaxResults\":0}", "{\"MaxResults\":21}", "{\"NextToken\":\"nonsense\"}"] {
        assert_eq!(client.organizations("ListAccounts", request).code(), "InvalidInputException", "{request}");
    }
    assert_eq!(client.organizations("ListAccounts", "nonsense").code(), "SerializationException");
    assert_eq!(client.organizations("ListPolicies", "{}").code(), "UnknownOperationException");
}

#[test]
fn empty_pages_come_before_the_others() {
    let (_sim, client) = start(Some(organization().with_empty_pages()), &Options::default());
    assert_eq!(sizes(&client, "ListAccounts", &json!({})), [0, 20, 0, 5]);
    assert_eq!(sizes(&client, "ListRoots", &json!({})), [0, 1]);
}

#[test]
fn tree_is_walked_from_its_roots() {
    let (_sim, client) = start(Some(organization()), &Options::default());
    let roots = client.organizations("ListRoots", "{}").json()["Roots"].clone();
    assert_eq!((&roots[0]["Id"], &roots[0]["Name"]), (&json!("r-abcd"), &json!("Root")));
    let below = |parent: &str| {
        let request = json!({"ParentId": parent});
        (
            pages(&client, "ListOrganizationalUnitsForParent", &request),
            sizes(&client, "ListAccountsForParent", &request),
        )
    };
    assert_eq!(below("r-abcd"), (vec![vec!["ou-abcd-11111111".to_owned()]], vec![1]));
    assert_eq!(below("ou-abcd-11111111"), (vec![vec!["ou-abcd-22222222".to_owned()]], vec![1]));
    assert_eq!(below("ou-abcd-22222222"), (vec![vec![]], vec![20, 3]));
    let units = client.organizations("ListOrganizationalUnitsForParent", "{\"ParentId\":\"r-abcd\"}").json();
    assert_eq!(units["OrganizationalUnits"][0]["Name"], "Workloads");
    for operation in ["ListAccountsForParent", "ListOrganizationalUnitsForParent"] {
        let answer = client.organizations(operation, "{\"ParentId\":\"ou-abcd-99999999\"}");
        assert_eq!((answer.status, answer.code().as_str()), (400, "ParentNotFoundException"));
        assert_eq!(client.organizations(operation, "{}").code(), "InvalidInputException");
    }
}

#[test]
fn each_state_has_a_status_and_can_be_left_out() {
    let states = [
        MemberState::Active,
        MemberState::PendingActivation,
        MemberState::Suspended,
        MemberState::PendingClosure,
        MemberState::Closed,
    ];
    let root = states.into_iter().enumerate().fold(OrganizationalUnit::new("r-abcd"), |root, (index, state)| {
        root.account(Member::new(format!("20000000000{index}")).state(state))
    });
    let organization = Organization::new(HOME).root(root);
    for (organization, with_state) in [(organization.clone(), true), (organization.without_states(), false)] {
        let (_sim, client) = start(Some(organization), &Options::default());
        let accounts = client.organizations("ListAccounts", "{}").json()["Accounts"].clone();
        let of = |key: &str| -> Vec<String> {
            let accounts = accounts.as_array().unwrap()[1..].iter();
            accounts.filter_map(|account| account[key].as_str().map(str::to_owned)).collect()
        };
        assert_eq!(of("Status"), ["ACTIVE", "ACTIVE", "SUSPENDED", "PENDING_CLOSURE", "SUSPENDED"]);
        let states = ["ACTIVE", "PENDING_ACTIVATION", "SUSPENDED", "PENDING_CLOSURE", "CLOSED"];
        assert_eq!(of("State"), if with_state { &states[..] } else { &[] });
    }
}

#[test]
fn only_the_management_account_and_delegates_may_call() {
    let (sim, client) = start(Some(organization().root(OrganizationalUnit::new("r-efgh"))), &Options::default());
    let of = |id: &str| client.with_keys(Keys::of(&Account::new(id)));
    assert_eq!(of(OTHER).organizations("ListRoots", "{}").json()["Roots"].as_array().map(Vec::len), Some(2));
    assert_eq!(of(STRANGER).organizations("ListRoots", "{}").code(), "AWSOrganizationsNotInUseException");
    assert_eq!(sim.counts().of(STRANGER, "us-east-1", Operation::ListRoots).requests, 1);
    let root = OrganizationalUnit::new("r-abcd").account(STRANGER);
    let (_sim, client) = start(Some(Organization::new(HOME).root(root)), &Options::default());
    let answer = client.with_keys(Keys::of(&Account::new(STRANGER))).organizations("ListAccounts", "{}");
    assert_eq!((answer.status, answer.code().as_str()), (400, "AccessDeniedException"));
    assert_eq!(answer.json()["Message"], "You don't have permissions to access this resource.");
    let (_sim, client) = start(None, &Options::default());
    let answer = client.organizations("ListAccounts", "{}");
    assert_eq!((answer.status, answer.code().as_str()), (400, "AWSOrganizationsNotInUseException"));
}

#[test]
fn signature_must_be_for_the_service_and_its_region() {
    let (_sim, client) = start(Some(organization()), &Options::default());
    let elsewhere = client.in_region(IRELAND).organizations("ListAccounts", "{}");
    assert_eq!(elsewhere.code(), "InvalidSignatureException");
    assert!(elsewhere.json()["Message"].as_str().unwrap().contains("valid region"));
    let target = ("x-amz-target", "AWSOrganizationsV20161128.ListAccounts");
    assert_eq!(client.send("dynamodb", "/", &[target], "{}").unwrap().code(), "InvalidSignatureException");
    let (_sim, client) = start(Some(organization()), &Options { verify_signatures: false, ..Options::default() });
    assert_eq!(client.in_region(IRELAND).organizations("ListAccounts", "{}").status, 200);
}

#[test]
fn each_account_has_its_own_list_accounts_quota() {
    let quota = Some(Quota { per_second: 0.000_1, burst: 2 });
    let (sim, client) = start(Some(organization()), &Options { list_accounts_quota: quota, ..Options::default() });
    let codes = [(); 3].map(|()| client.organizations("ListAccounts", "{}").code());
    assert_eq!(codes, ["", "", "TooManyRequestsException"]);
    assert_eq!(client.organizations("ListRoots", "{}").status, 200);
    let delegate = client.with_keys(Keys::of(&Account::new(OTHER)));
    assert_eq!(delegate.organizations("ListAccounts", "{}").status, 200);
    assert_eq!(sim.counts().of(HOME, "us-east-1", Operation::ListAccounts).throttled, 1);
}

#[test]
fn denials_and_faults_apply_to_organizations() {
    let (sim, client) = start(Some(organization()), &Options::default());
    sim.deny(Denial::new(HOME, Operation::ListRoots));
    let answer = client.organizations("ListRoots", "{}");
    assert_eq!((answer.status, answer.code().as_str()), (400, "AccessDeniedException"));
    assert_eq!(
        answer.json()["Message"],
        "User: arn:aws:iam::111122223333:user/crawler is not authorized to perform: organizations:ListRoots on resource: * because no \
         identity-based policy allows the organizations:ListRoots action"
    );
    for (effect, status, code) in [
        (Effect::Throttle, 400, "TooManyRequestsException"),
        (Effect::Status(500), 500, "ServiceException"),
        (Effect::Status(503), 503, "ServiceUnavailable"),
        (Effect::ExpireToken, 400, "ExpiredTokenException"),
        (Effect::Deny, 400, "AccessDeniedException"),
        (Effect::NotFound, 400, "ParentNotFoundException"),
    ] {
        sim.add_fault(FaultRule::new(effect).operation(Operation::ListAccounts).first(1));
        let answer = client.organizations("ListAccounts", "{}");
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    assert_eq!(client.organizations("ListAccounts", "{}").status, 200);
    assert_eq!(sim.counts().requests(Operation::ListAccounts), 7);
}
