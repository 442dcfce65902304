//! The services behind the one port, and where each of them is signed.

/// A service. It decides about the protocol, the scope of signatures and the way errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Amazon DynamoDB, in AWS JSON 1.0.
    DynamoDb,
    /// AWS STS, in AWS Query.
    Sts,
    /// AWS Organizations, in AWS JSON 1.1.
    Organizations,
    /// AWS Account Management, in REST JSON.
    Account,
    /// Amazon EC2, in EC2 Query.
    Ec2,
}

impl Service {
    /// The name in a signature's scope, which is also the prefix of IAM's actions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Sts => "sts",
            Self::Organizations => "organizations",
            Self::Account => "account",
            Self::Ec2 => "ec2",
        }
    }

    /// The type of answers.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::DynamoDb => "application/x-amz-json-1.0",
            Self::Organizations => "application/x-amz-json-1.1",
            Self::Account => "application/json",
            Self::Sts => "text/xml",
            Self::Ec2 => "text/xml;charset=UTF-8",
        }
    }

    /// The only Region that requests to a global service are signed for.
    pub(crate) fn signing_region(self, partition: &str) -> Option<&'static str> {
        match (self, partition) {
            (Self::Organizations | Self::Account, "aws-cn") => Some("cn-northwest-1"),
            (Self::Organizations | Self::Account, _) => Some(home_region(partition)),
            _ => None,
        }
    }

    /// Whether the service answers an account in a Region that the account does not have.
    pub(crate) fn answers_without_opt_in(self, partition: &str, region: &str) -> bool {
        match self {
            Self::DynamoDb => false,
            Self::Sts | Self::Ec2 => region == home_region(partition),
            Self::Organizations | Self::Account => true,
        }
    }
}

/// The Region of a partition that no account can turn off.
fn home_region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-eusc" => "eusc-de-east-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        _ => "us-east-1",
    }
}
