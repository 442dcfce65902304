"""Creates an organization with member accounts, their roles and tables, and prints as JSON what it created.

usage: organization.py --endpoint URL --accounts N REGION...        (credentials: AWS_* in the environment)

The account of the credentials becomes the management account. Each member gets the role Crawler, which
trusts that account, and a different number of tables in each Region. The names of the tables are read
back from the server: `tables` is account -> Region -> sorted names. The first member is in the unit
`unit`, which is in the unit `outer`. One more member is created and closed; `closed` is its id.
"""

import argparse
import json
import sys
import time

import boto3
from botocore.exceptions import ClientError

CREATED_WITHIN = 30  # seconds
ROLE = "Crawler"


def trust(account):
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--accounts", type=int, required=True)
    parser.add_argument("regions", nargs="+")
    args = parser.parse_args()

    def client(service, region="us-east-1", **keys):
        return boto3.client(service, endpoint_url=args.endpoint, region_name=region, **keys)

    organizations, sts = client("organizations"), client("sts")
    management = sts.get_caller_identity()["Account"]
    try:
        organizations.create_organization(FeatureSet="ALL")
    except ClientError as error:
        # Ministack does not have this operation: its organization exists from the start.
        if error.response["Error"]["Code"] != "InvalidAction":
            raise

    def created(number):
        """The id of a new member account."""
        request = organizations.create_account(Email=f"aws+{number}@example.com", AccountName=f"member-{number}")
        status = request["CreateAccountStatus"]
        deadline = time.monotonic() + CREATED_WITHIN
        while status["State"] != "SUCCEEDED":
            if status["State"] == "FAILED" or time.monotonic() > deadline:
                sys.exit(f"no account: {status}")
            time.sleep(0.05)
            status = organizations.describe_create_account_status(CreateAccountRequestId=status["Id"])
            status = status["CreateAccountStatus"]
        return status["AccountId"]

    members = [created(number) for number in range(args.accounts)]
    closed = created(args.accounts)
    organizations.close_account(AccountId=closed)

    def unit_in(parent, name):
        unit = organizations.create_organizational_unit(ParentId=parent, Name=name)
        return unit["OrganizationalUnit"]["Id"]

    root = organizations.list_roots()["Roots"][0]["Id"]
    outer = unit_in(root, "outer")
    unit = unit_in(outer, "inner")
    organizations.move_account(AccountId=members[0], SourceParentId=root, DestinationParentId=unit)

    tables = {}
    for number, account in enumerate([management, *members]):
        # The role that every new account has for its administrators.
        keys = {}
        if account != management:
            role = f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"
            session = sts.assume_role(RoleArn=role, RoleSessionName="seed")["Credentials"]
            keys = {
                "aws_access_key_id": session["AccessKeyId"],
                "aws_secret_access_key": session["SecretAccessKey"],
                "aws_session_token": session["SessionToken"],
            }
        client("iam", **keys).create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust(management))
        tables[account] = {}
        for place, region in enumerate(args.regions):
            dynamodb = client("dynamodb", region, **keys)
            for table in range(3 + 2 * number + place):
                dynamodb.create_table(
                    # The first names are the same in every account and Region. The others reveal a mix-up.
                    TableName=f"orders-{table:03}" if table < 2 else f"table-{account}-{region}-{table:03}",
                    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                    BillingMode="PAY_PER_REQUEST",
                )
            pages = dynamodb.get_paginator("list_tables").paginate()
            tables[account][region] = sorted(name for page in pages for name in page["TableNames"])

    json.dump(
        {
            "management": management,
            "members": members,
            "closed": closed,
            "outer": outer,
            "unit": unit,
            "tables": tables,
        },
        sys.stdout,
        indent=1,
    )


if __name__ == "__main__":
    main()
