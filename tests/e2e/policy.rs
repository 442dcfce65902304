//! The IAM policies: exactly what the configuration needs.

use serde_json::{Value, json};

use crate::command::Dynacrawl;

fn policy(command: Dynacrawl) -> Value {
    serde_json::from_str(&command.run().succeeded()).expect("JSON")
}

fn plain() -> Dynacrawl {
    Dynacrawl::new("policy")
}

const ROLE: &str = "arn:aws:iam::123456789012:role/Crawler";

#[test]
fn two_actions_are_enough() {
    let expected = json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "ListTables", "Effect": "Allow", "Action": "dynamodb:ListTables", "Resource": ["*"],
             "Condition": {"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}}},
            {"Sid": "DescribeTable", "Effect": "Allow", "Action": "dynamodb:DescribeTable",
             "Resource": ["arn:aws:dynamodb:eu-west-1:*:table/*", "arn:aws:dynamodb:us-east-1:*:table/*"]},
        ],
    });
    assert_eq!(policy(plain().args(["--region", "us-east-1,eu-west-1"])), expected);
}

#[test]
fn regions_accounts_and_names_narrow_the_policy() {
    let narrow = policy(plain().args(["--region", "eu-west-1", "--account-id", "123456789012"]).args([
        "--include",
        "orders-.*",
        "--include",
        "users",
    ]));
    assert_eq!(
        narrow["Statement"][1]["Resource"],
        json!([
            "arn:aws:dynamodb:eu-west-1:123456789012:table/orders-*",
            "arn:aws:dynamodb:eu-west-1:123456789012:table/users"
        ])
    );
    let wide = policy(plain());
    assert_eq!(wide["Statement"][0].get("Condition"), None, "no Region is known");
    assert_eq!(wide["Statement"][1]["Resource"], json!(["arn:aws:dynamodb:*:*:table/*"]));
    let by_role = policy(plain().args(["--region", "eu-west-1", "--role-arn", ROLE]));
    assert_eq!(by_role["Statement"][1]["Resource"], json!(["arn:aws:dynamodb:eu-west-1:123456789012:table/*"]));
}

#[test]
fn the_region_or_the_role_determines_the_partition() {
    for (region, partition) in [
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-isob-east-1", "aws-iso-b"),
    ] {
        let policy = policy(plain().args(["--region", region]));
        assert_eq!(policy["Statement"][1]["Resource"], json!([format!("arn:{partition}:dynamodb:{region}:*:table/*")]));
    }
    let by_role = policy(plain().args(["--role-arn", "arn:aws-cn:iam::123456789012:role/Crawler"]));
    assert_eq!(by_role["Statement"][1]["Resource"], json!(["arn:aws-cn:dynamodb:*:123456789012:table/*"]));
}

#[test]
fn the_trust_policy_has_the_external_id_as_a_condition() {
    let crawler = "arn:aws:iam::999999999999:user/crawler";
    let trust = plain().args([
        "--trust",
        "--region",
        "eu-west-1",
        "--role-arn",
        ROLE,
        "--external-id",
        "acme-42",
        "--principal",
        crawler,
    ]);
    let expected = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "AssumeRole", "Effect": "Allow", "Principal": {"AWS": crawler}, "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": ["acme-42"]}},
        }],
    });
    assert_eq!(policy(trust), expected);
}

#[test]
fn a_trust_policy_without_a_principal_has_a_placeholder() {
    let ended = plain().args(["--trust", "--role-arn", ROLE]).run();
    assert!(ended.stderr.contains("--principal"), "{}", ended.stderr);
    let trust: Value = serde_json::from_str(&ended.succeeded()).expect("JSON");
    assert_eq!(trust["Statement"][0]["Principal"]["AWS"], "arn:aws:iam::ACCOUNT-ID-OF-THE-CRAWLER:root");
    assert_eq!(trust["Statement"][0].get("Condition"), None);
}

#[test]
fn in_a_chain_each_role_is_assumed_by_the_one_before() {
    let config = "[[target]]\nname = \"a\"\nregions = [\"eu-west-1\"]\nassume_role = [\
                  { arn = \"arn:aws:iam::111111111111:role/Hub\" }, { arn = \"arn:aws:iam::222222222222:role/Reader\", external_id = \"x-1\" }]\n\
                  [[target]]\nname = \"b\"\nregions = [\"eu-west-1\"]\nassume_role = [{ arn = \"arn:aws:iam::333333333333:role/Reader\" }]\n";
    let assume = policy(plain().arg("--assume").config(config));
    assert_eq!(
        assume["Statement"],
        json!([{"Sid": "AssumeRole", "Effect": "Allow", "Action": "sts:AssumeRole",
                "Resource": ["arn:aws:iam::111111111111:role/Hub", "arn:aws:iam::333333333333:role/Reader"]}])
    );
    let trust = policy(plain().args(["--trust", "--target", "a"]).config(config));
    assert_eq!(trust["Statement"][0]["Principal"]["AWS"], "arn:aws:iam::111111111111:role/Hub");
    plain().arg("--trust").config(config).run().fails_with(2, "--target");
}

#[test]
fn without_a_role_there_is_nothing_to_assume_or_to_trust() {
    plain().args(["--assume", "--region", "eu-west-1"]).run().fails_with(2, "--role-arn");
    plain().args(["--trust", "--region", "eu-west-1"]).run().fails_with(2, "--role-arn");
    plain().args(["--trust", "--assume", "--role-arn", ROLE]).run().fails_with(2, "--assume");
}

#[test]
fn the_region_of_the_environment_determines_the_partition() {
    let access = policy(plain().env("AWS_REGION", "cn-north-1").args(["--account-id", "123456789012"]));
    let describe = &access["Statement"][1]["Resource"];
    assert_eq!(*describe, json!(["arn:aws-cn:dynamodb:cn-north-1:123456789012:table/*"]));
}

#[test]
fn an_invalid_principal_is_refused() {
    let trust = |principal: &str| {
        plain().args(["--trust", "--region", "eu-west-1", "--role-arn", ROLE, "--principal", principal])
    };
    trust("nonsense").run().fails_with(2, "--principal");
    trust("arn:aws:iam::12:user/x").run().fails_with(2, "--principal");
    assert_eq!(policy(trust("123456789012"))["Statement"][0]["Principal"]["AWS"], "123456789012");
}

/// An organization whose accounts are reached with two roles in each account.
const ORGANIZATION: &str = "[[target]]\nname = \"all\"\nregions = [\"eu-west-1\"]\norganizations = true\n";

#[test]
fn of_two_roles_in_each_account_the_crawler_assumes_the_first() {
    let roles = "assume_role = [{ arn = \"arn:{partition}:iam::{account}:role/Entry\" }, \
                 { arn = \"arn:{partition}:iam::{account}:role/Reader\", external_id = \"acme\" }]\n";
    let config = format!("{ORGANIZATION}{roles}");
    let assume = policy(plain().arg("--assume").config(&config));
    let statements = assume["Statement"].as_array().expect("statements");
    let roles = statements.iter().find(|one| one["Action"] == "sts:AssumeRole").expect("the roles");
    assert_eq!(roles["Resource"], json!(["arn:aws:iam::*:role/Entry"]));
    // And the last one trusts the first.
    let ended = plain().arg("--trust").config(&config).run();
    assert!(ended.stderr.contains("{account}"), "{}", ended.stderr);
    let trust: Value = serde_json::from_str(&ended.succeeded()).expect("JSON");
    assert_eq!(trust["Statement"][0]["Principal"]["AWS"], "arn:aws:iam::{account}:role/Entry");
    assert_eq!(trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], json!(["acme"]));
}

#[test]
fn an_organizations_role_has_one_trust_policy() {
    let crawler = "arn:aws:iam::999999999999:role/crawler";
    let trust = |external_id: &str| {
        let role = format!("arn:{{partition}}:iam::{{account}}:role/Reader\", external_id = \"{external_id}");
        let config = format!("{ORGANIZATION}assume_role = [{{ arn = \"{role}\" }}]\n");
        plain().args(["--trust", "--principal", crawler]).config(&config).run()
    };
    let same = trust("acme-42");
    assert_eq!(same.stderr, "");
    let same: Value = serde_json::from_str(&same.succeeded()).expect("JSON");
    assert_eq!(same["Statement"][0]["Principal"]["AWS"], crawler);
    assert_eq!(same["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], json!(["acme-42"]));
    let each = trust("acme-{account}");
    assert!(each.stderr.contains("note: {account} stands for"), "{}", each.stderr);
    let each: Value = serde_json::from_str(&each.succeeded()).expect("JSON");
    assert_eq!(each["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], json!(["acme-{account}"]));
}

#[test]
fn listed_accounts_have_one_trust_policy_or_one_each() {
    let trust = |external_id: &str| {
        let role = format!("arn = \"arn:aws:iam::{{account}}:role/Reader\", external_id = \"{external_id}\"");
        let accounts = "accounts = [\"111111111111\", \"222222222222\"]";
        let config = format!(
            "[[target]]\nname = \"some\"\nregions = [\"eu-west-1\"]\n{accounts}\nassume_role = [{{ {role} }}]\n"
        );
        plain().args(["--trust", "--principal", "999999999999"]).config(&config).run()
    };
    let same: Value = serde_json::from_str(&trust("acme").succeeded()).expect("JSON");
    assert_eq!(same["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], json!(["acme"]));
    let each = trust("acme-{account}");
    assert!(each.stderr.contains("from account to account"), "{}", each.stderr);
    let each: Value = serde_json::from_str(&each.succeeded()).expect("JSON");
    assert_eq!(each.as_object().expect("by account").len(), 2);
    for account in ["111111111111", "222222222222"] {
        let condition = &each[account]["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"];
        assert_eq!(*condition, json!([format!("acme-{account}")]));
    }
}

#[test]
fn a_policy_that_is_too_large_is_a_warning_and_can_be_split() {
    let command = |accounts: usize, split: bool| {
        let ids: Vec<_> = (0..accounts).map(|number| format!("{:012}", 111_111_111_111 + number)).collect();
        let config = format!(
            "[[target]]\nname = \"some\"\nregions = [\"eu-west-1\"]\naccounts = {ids:?}\n\
             assume_role = [{{ arn = \"arn:aws:iam::{{account}}:role/Reader\" }}]\n"
        );
        let command = plain().arg("--assume").config(&config);
        if split { command.arg("--split").run() } else { command.run() }
    };
    assert_eq!(command(10, false).stderr, "");
    let warned = command(100, false).stderr;
    assert!(warned.contains("a user's inline policies (2048") && !warned.contains("a managed policy ("), "{warned}");
    let warned = command(300, false).stderr;
    for limit in ["(2048 ", "(6144 ", "(10240 ", "--split"] {
        assert!(warned.contains(limit), "{limit}: {warned}");
    }
    let split = command(300, true);
    assert_eq!(split.stderr, "");
    let policies: Vec<Value> = serde_json::from_str(&split.succeeded()).expect("an array");
    let roles = |policy: &Value| policy["Statement"][0]["Resource"].as_array().expect("roles").len();
    assert_eq!((policies.len() >= 2, policies.iter().map(roles).sum::<usize>()), (true, 300));
    for policy in &policies {
        assert!(policy.to_string().len() <= 6144, "{}", policy.to_string().len());
    }
    let many = command(3000, true);
    assert!(many.stderr.contains("IAM attaches 10"), "{}", many.stderr);
}

#[test]
fn the_policy_of_the_sinks_names_what_they_write_to() {
    let config = "[sink.lake.object_store]\nurl = \"s3://lake/estates\"\n\
                  s3 = { region = \"eu-west-1\", encryption = \"kms\", kms_key = \"alias/lake\" }\n";
    let policy =
        |config: &str| Dynacrawl::new("policy").config(config).args(["--region", "eu-west-1", "--sinks"]).run();
    let ended = policy(config);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let policy_of: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let statements = policy_of["Statement"].as_array().expect("statements");
    assert_eq!(statements[0]["Resource"], "arn:aws:s3:::lake/estates/*");
    assert_eq!(statements[1]["Condition"]["StringLike"]["s3:prefix"][0], "estates/*");
    assert_eq!(statements[2]["Condition"]["StringEquals"]["kms:RequestAlias"], "alias/lake");
    let config = "[sink.one.eventbridge]\nbus = \"metadata\"\nregion = \"cn-north-1\"\n\
                  [sink.two.eventbridge]\nbus = \"arn:aws:events:eu-west-1:111122223333:event-bus/b\"\nregion = \"eu-west-1\"\n";
    let policy_of: Value = serde_json::from_str(&policy(config).stdout).expect("JSON");
    assert_eq!(policy_of["Statement"][0]["Resource"], "arn:aws-cn:events:cn-north-1:*:event-bus/metadata");
    assert_eq!(policy_of["Statement"][1]["Resource"], "arn:aws:events:eu-west-1:111122223333:event-bus/b");
    assert_eq!(policy_of["Statement"][1]["Action"], json!(["events:PutEvents", "events:DescribeEventBus"]));
    let none = policy("[sink.audit.file]\npath = \"/tmp/events.jsonl\"\n");
    assert!(none.code() == 2 && none.stderr.contains("--sinks: the configuration has no sink"), "{}", none.stderr);
}
