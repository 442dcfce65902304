//! Answers that are well-formed and wrong: about tables, lists, callers, sessions and
//! organizations.

use serde_json::json;

use super::client::{Answer, Client, Keys};
use super::{HOME, IRELAND, OTHER, ROLE_ARN, estate, start};
use crate::{
    Account, Denial, Effect, FaultRule, Listing, MoveKeyError, Operation, Options, Organization, OrganizationalUnit,
    Simulator, TableEdit, UnknownAccount, UnknownKey,
};

const IDENTITY: &str = "Action=GetCallerIdentity";

fn account_of(answer: &Answer) -> String {
    answer.tag("Account").unwrap_or_else(|| panic!("{}", answer.text()))
}

fn reader(client: &Client) -> Client {
    client.with_keys(client.assume(ROLE_ARN, "&ExternalId=ext-1").keys())
}

#[test]
fn edited_description_has_a_correct_checksum() {
    let (sim, client) = start();
    let edits = vec![
        TableEdit::Name("other".into()),
        TableEdit::ArnAccount(OTHER.into()),
        TableEdit::Without("/TableId".into()),
    ];
    sim.add_fault(FaultRule::new(Effect::EditTable(edits)).table("table-000001"));
    let answer = client.describe("table-000001");
    let table = &answer.json()["Table"];
    assert_eq!(table["TableName"], "other");
    assert_eq!(table["TableArn"], format!("arn:aws:dynamodb:{IRELAND}:{OTHER}:table/other"));
    assert_eq!(table.get("TableId"), None);
    assert_eq!(answer.header("x-amz-crc32"), Some(crc32fast::hash(&answer.body).to_string().as_str()));
    assert_eq!(client.describe("table-000002").json()["Table"]["TableName"], "table-000002");
    assert_eq!(client.describe("nothing").code(), "ResourceNotFoundException");
    assert_eq!(client.dynamodb("ListTables", "{}").json()["TableNames"].as_array().unwrap().len(), 100);
}

#[test]
fn describe_table_finds_what_a_wrong_list_omits() {
    let (sim, client) = start();
    let list = |start: &str| client.dynamodb("ListTables", start).json();
    let id = sim.add_fault(FaultRule::new(Effect::List(Listing::Cycle)));
    assert_eq!(list("{}")["LastEvaluatedTableName"], "table-000099");
    let second = list("{\"ExclusiveStartTableName\":\"table-000099\"}");
    assert_eq!(
        (&second["TableNames"][0], &second["LastEvaluatedTableName"]),
        (&json!("table-000100"), &json!("table-000199"))
    );
    assert_eq!(list("{\"ExclusiveStartTableName\":\"table-000199\"}"), list("{}"));
    sim.remove_fault(id);
    sim.add_fault(FaultRule::new(Effect::List(Listing::LeaveOut(vec!["table-00000*".into()]))));
    assert_eq!(list("{\"Limit\":20}")["TableNames"][0], "table-000010");
    assert_eq!(client.describe("table-000001").status, 200);
}

#[test]
fn pages_have_at_most_the_set_size() {
    let options = Options { list_page_size: Some(7), ..Options::default() };
    let sim = Simulator::start(estate(), &options).unwrap();
    let client = Client::new(sim.addr(), Keys::of(&Account::new(HOME)), IRELAND);
    for (request, size) in [("{}", 7), ("{\"Limit\":3}", 3)] {
        assert_eq!(client.dynamodb("ListTables", request).json()["TableNames"].as_array().unwrap().len(), size);
    }
}

#[test]
fn request_is_answered_as_another_account() {
    let (sim, client) = start();
    sim.add_fault(FaultRule::new(Effect::AsAccount(OTHER.into())).first(2));
    assert_eq!(account_of(&client.sts(IDENTITY)), OTHER);
    assert_eq!(client.dynamodb("ListTables", "{}").json()["TableNames"], json!(["orders"]));
    assert_eq!(account_of(&client.sts(IDENTITY)), HOME);
    sim.deny(Denial::new(HOME, Operation::GetCallerIdentity));
    sim.add_fault(FaultRule::new(Effect::Deny).operation(Operation::GetCallerIdentity).first(1));
    let denied = client.sts(IDENTITY);
    assert_eq!((denied.status, denied.code().as_str()), (403, "AccessDenied"));
}

#[test]
fn session_of_a_role_can_belong_to_another_account() {
    let (sim, client) = start();
    let fault = FaultRule::new(Effect::AsAccount(HOME.into())).operation(Operation::AssumeRole).role(ROLE_ARN);
    sim.add_fault(fault.first(1));
    let wrong = reader(&client);
    assert_eq!(account_of(&wrong.sts(IDENTITY)), HOME);
    assert_eq!(wrong.dynamodb("ListTables", "{}").json()["TableNames"][0], "table-000000");
    assert_eq!(account_of(&reader(&client).sts(IDENTITY)), OTHER);
}

#[test]
fn session_that_claims_to_have_expired_still_works() {
    let (sim, client) = start();
    let fault = FaultRule::new(Effect::ClaimExpiration(-3_600)).operation(Operation::AssumeRole).first(1);
    sim.add_fault(fault);
    let answer = client.assume(ROLE_ARN, "&ExternalId=ext-1");
    let expiration: jiff::Timestamp = answer.tag("Expiration").unwrap().parse().unwrap();
    assert!(expiration < jiff::Timestamp::now());
    assert_eq!(client.with_keys(answer.keys()).dynamodb("ListTables", "{}").status, 200);
}

#[test]
fn faults_apply_to_sts() {
    let (sim, client) = start();
    for (operation, form) in [(Operation::AssumeRole, None), (Operation::GetCallerIdentity, Some(IDENTITY))] {
        let id = sim.add_fault(FaultRule::new(Effect::Status(503)).operation(operation).first(1));
        let ask = || form.map_or_else(|| client.assume(ROLE_ARN, "&ExternalId=ext-1"), |form| client.sts(form));
        assert_eq!([ask().status, ask().status], [503, 200]);
        assert_eq!(sim.fault_hits(id), 1);
    }
}

#[test]
fn key_is_moved_to_another_account_and_deleted() {
    let (sim, client) = start();
    let session = reader(&client);
    sim.move_key(&client.keys.id, OTHER).unwrap();
    assert_eq!(account_of(&client.sts(IDENTITY)), OTHER);
    assert_eq!(client.dynamodb("ListTables", "{}").json()["TableNames"], json!(["orders"]));
    let wrong = client.with_keys(Keys { secret: "wrong".into(), ..client.keys.clone() });
    assert_eq!(wrong.dynamodb("ListTables", "{}").code(), "InvalidSignatureException");
    sim.delete_key(&client.keys.id).unwrap();
    assert_eq!(client.dynamodb("ListTables", "{}").code(), "UnrecognizedClientException");
    assert_eq!(client.sts(IDENTITY).code(), "InvalidClientTokenId");
    assert_eq!(session.dynamodb("ListTables", "{}").status, 200);
    let unknown = UnknownKey { access_key_id: client.keys.id.clone() };
    assert_eq!(sim.delete_key(&client.keys.id), Err(unknown.clone()));
    assert_eq!(sim.move_key(&client.keys.id, HOME), Err(MoveKeyError::Key(unknown)));
    let account = UnknownAccount { account_id: "1".into() };
    assert_eq!(sim.move_key(&client.keys.id, "1"), Err(MoveKeyError::Account(account)));
}

#[test]
fn organization_is_cut_short_or_replaced() {
    let root = OrganizationalUnit::new("r-abcd").account(OTHER);
    let organization = Organization::new(HOME).root(root);
    let sim = Simulator::start(estate().organization(organization), &Options::default()).unwrap();
    let client = Client::new(sim.addr(), Keys::of(&Account::new(HOME)), "us-east-1");
    let accounts = || {
        let answer = client.organizations("ListAccounts", "{}").json();
        assert_eq!(answer.get("NextToken"), None);
        let ids = answer["Accounts"].as_array().unwrap().iter().map(|account| account["Id"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(accounts(), [HOME, OTHER]);
    sim.add_fault(FaultRule::new(Effect::FirstAccounts(1)).first(1));
    sim.add_fault(FaultRule::new(Effect::OtherAccounts(vec!["200000000001".into()])).nth(1));
    assert_eq!((accounts(), accounts()), (vec![json!(HOME)], vec![json!("200000000001")]));
    let roots = client.organizations("ListRoots", "{}").json()["Roots"].as_array().unwrap().len();
    assert_eq!((roots, accounts().len()), (1, 2));
}
