"""Assumes a role, and prints the temporary credentials as JSON.

usage: assume.py --endpoint URL --role ARN [--external-id ID] --seconds N        (credentials: AWS_* in the environment)

The test servers also give sessions shorter than AWS's 900 seconds, so credentials can expire during a test.
"""

import argparse
import json
import sys

import boto3
from botocore.config import Config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--role", required=True)
    parser.add_argument("--external-id")
    parser.add_argument("--seconds", type=int, required=True)
    args = parser.parse_args()

    # Otherwise boto3 itself would refuse a short session.
    config = Config(parameter_validation=False)
    client = boto3.client("sts", endpoint_url=args.endpoint, region_name="us-east-1", config=config)
    request = {"RoleArn": args.role, "RoleSessionName": "e2e", "DurationSeconds": args.seconds}
    if args.external_id:
        request["ExternalId"] = args.external_id
    credentials = client.assume_role(**request)["Credentials"]
    json.dump(
        {
            "access_key_id": credentials["AccessKeyId"],
            "secret_access_key": credentials["SecretAccessKey"],
            "session_token": credentials["SessionToken"],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
