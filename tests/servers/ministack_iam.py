"""Sets up accounts, users and roles on a ministack that was started with AUTH=true, and prints all keys as JSON.

usage: ministack_iam.py --endpoint URL

There are three accounts: HOME has the crawler's users, MEMBER has tables that the crawler reads through
roles, and CHAINED can be entered only by a role of MEMBER. The permissions on tables are exactly those
that the crawler needs.
"""

import argparse
import json
import sys

import boto3

HOME, MEMBER, CHAINED = "111111111111", "222222222222", "333333333333"
EXTERNAL_ID = "dynacrawl-e2e/external:id=1"
CRAWL = ["dynamodb:ListTables", "dynamodb:DescribeTable"]


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions, resource="*"):
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def trust(principal, external_id=None):
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    if external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return policy(statement)


class Account:
    """One account, used as its root user: for ministack, the account id is the root user's access key id."""

    def __init__(self, endpoint, number):
        self.number = number
        # ministack does not check the secret or signature of a root user.
        self.root = {"access_key_id": number, "secret_access_key": "test"}
        self.iam = boto3.client(
            "iam",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=number,
            aws_secret_access_key="test",
        )

    def user(self, name, *statements):
        arn = self.iam.create_user(UserName=name)["User"]["Arn"]
        if statements:
            self.iam.put_user_policy(UserName=name, PolicyName="permissions", PolicyDocument=policy(*statements))
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return {"arn": arn, "access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}

    def role(self, name, trust_policy, *statements, external_id=None):
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy)["Role"]["Arn"]
        if statements:
            self.iam.put_role_policy(RoleName=name, PolicyName="permissions", PolicyDocument=policy(*statements))
        return {"arn": arn, "external_id": external_id}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    args = parser.parse_args()
    home, member, chained = (Account(args.endpoint, number) for number in (HOME, MEMBER, CHAINED))

    home_root = f"arn:aws:iam::{HOME}:root"
    chained_arn = f"arn:aws:iam::{CHAINED}:role/chained"
    roles = {
        "guarded": member.role(
            "guarded",
            trust(home_root, EXTERNAL_ID),
            allow(CRAWL),
            allow(["sts:AssumeRole"], chained_arn),
            external_id=EXTERNAL_ID,
        ),
        # A careless administrator's role: it can be assumed with any external id, and without one.
        "unguarded": member.role("unguarded", trust(home_root), allow(CRAWL)),
        "powerless": member.role("powerless", trust(home_root)),
        "chained": chained.role(
            "chained",
            trust(f"arn:aws:iam::{MEMBER}:role/guarded", EXTERNAL_ID),
            allow(CRAWL),
            external_id=EXTERNAL_ID,
        ),
    }
    assume = allow(["sts:AssumeRole"], [role["arn"] for role in roles.values()])
    users = {
        "crawler": home.user("crawler", allow(CRAWL), assume),
        "nobody": home.user("nobody"),
        "lister": home.user("lister", allow(["dynamodb:ListTables"])),
        "describer": home.user("describer", allow(["dynamodb:DescribeTable"])),
        # May not describe the tables of seed.py whose number ends in 7.
        "partial": home.user(
            "partial",
            allow(CRAWL),
            {"Effect": "Deny", "Action": "dynamodb:DescribeTable", "Resource": "arn:aws:dynamodb:*:*:table/*-????7"},
        ),
        # May crawl only in one Region, as the policies of organizations often require.
        "one_region": home.user(
            "one_region",
            {**allow(CRAWL), "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}},
        ),
    }
    json.dump(
        {
            "accounts": {
                name: {"account_id": account.number, **account.root}
                for name, account in (("home", home), ("member", member), ("chained", chained))
            },
            "users": users,
            "roles": roles,
        },
        sys.stdout,
        indent=1,
    )


if __name__ == "__main__":
    main()
