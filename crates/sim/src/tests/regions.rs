//! The lists of Regions of AWS Account Management and Amazon EC2.

use serde_json::{Value, json};

use super::client::{Answer, Client, Keys};
use super::{HOME, IRELAND, OTHER};
use crate::{
    Account, Denial, Effect, Estate, FaultRule, Operation, Options, Organization, OrganizationalUnit, Quota, Simulator,
    Tables,
};

/// An account with two Regions that are enabled by default and one that it opted in to, but not
/// us-east-1; and another account that has only us-east-1.
fn start(options: &Options) -> (Simulator, Client) {
    let regions = [IRELAND, "sa-east-1", "me-south-1"];
    let home = regions.iter().fold(Account::new(HOME), |account, region| account.region(*region, Tables::new()));
    let other = Account::new(OTHER).region("us-east-1", Tables::new());
    let root = OrganizationalUnit::new("r-abcd").account(HOME).account(OTHER);
    let estate = Estate::new([home, other]).organization(Organization::new(HOME).root(root));
    let sim = Simulator::start(estate, options).unwrap();
    let client = Client::new(sim.addr(), Keys::of(&Account::new(HOME)), "us-east-1");
    (sim, client)
}

/// Regions with their statuses.
fn listed(answer: &Answer) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let body = answer.json();
    let regions = body["Regions"].as_array().unwrap().iter();
    regions.map(|region| (text(&region["RegionName"]), text(&region["RegionOptStatus"]))).collect()
}

/// The texts of all XML elements with this name.
fn all<'a>(answer: &'a str, tag: &str) -> Vec<&'a str> {
    let tag = format!("<{tag}>");
    let pieces = answer.split(&tag).skip(1);
    pieces.filter_map(|piece| piece.split("</").next()).collect()
}

#[test]
fn regions_of_the_account_are_enabled_and_others_disabled() {
    let (_sim, client) = start(&Options::default());
    let answer = client.list_regions("{\"RegionOptStatusContains\":[\"ENABLED\",\"ENABLED_BY_DEFAULT\"]}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = [(IRELAND, "ENABLED_BY_DEFAULT"), ("me-south-1", "ENABLED"), ("sa-east-1", "ENABLED_BY_DEFAULT")];
    assert_eq!(listed(&answer), expected.map(|(region, status)| (region.to_owned(), status.to_owned())));
    assert_eq!(answer.json().get("NextToken"), None);
    // All seventeen Regions that need an opt-in, and the two that need none.
    let everything = listed(&client.list_regions("{}"));
    assert_eq!(everything.len(), 19);
    assert_eq!(everything.iter().filter(|(_, status)| status == "DISABLED").count(), 16);
}

#[test]
fn list_regions_returns_pages() {
    let (_sim, client) = start(&Options::default());
    let whole = listed(&client.list_regions("{}"));
    let mut request = json!({"MaxResults": 8});
    let mut regions = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let answer = client.list_regions(&request.to_string());
        let page = listed(&answer);
        sizes.push(page.len());
        regions.extend(page);
        let Some(next) = answer.json().get("NextToken").cloned() else { break };
        request["NextToken"] = next;
    }
    assert_eq!((sizes, regions), (vec![8, 8, 3], whole));
    for request in ["{\"MaxResults\":51}", "{\"MaxResults\":0}", "{\"NextToken\":\"nonsense\"}"] {
        let answer = client.list_regions(request);
        assert_eq!((answer.status, answer.code().as_str()), (400, "ValidationException"), "{request}");
    }
}

#[test]
fn only_the_management_account_lists_regions_of_a_member() {
    let (_sim, client) = start(&Options::default());
    let enabled = |client: &Client, id: &str| {
        let request = json!({"AccountId": id, "RegionOptStatusContains": ["ENABLED_BY_DEFAULT"]});
        client.list_regions(&request.to_string())
    };
    assert_eq!(listed(&enabled(&client, OTHER))[0].0, "us-east-1");
    let other = client.with_keys(Keys::of(&Account::new(OTHER)));
    for refused in [enabled(&other, HOME), enabled(&client, HOME), enabled(&client, "000000000000")] {
        assert_eq!((refused.status, refused.code().as_str()), (403, "AccessDeniedException"));
    }
}

#[test]
fn account_errors_have_their_code_in_a_header() {
    let (sim, client) =
        start(&Options { list_regions_quota: Some(Quota { per_second: 0.000_1, burst: 2 }), ..Options::default() });
    sim.deny(Denial::new(HOME, Operation::ListRegions));
    let answer = client.list_regions("{}");
    assert_eq!(answer.header("x-amzn-errortype"), Some("AccessDeniedException"));
    assert_eq!(
        (answer.status, answer.json()),
        (
            403,
            json!({"message": "User: arn:aws:iam::111122223333:user/crawler is not authorized to perform: account:ListRegions on resource: \
                               arn:aws:account::111122223333:account because no identity-based policy allows the account:ListRegions action"})
        )
    );
    sim.clear_denials();
    assert_eq!([(); 2].map(|()| client.list_regions("{}").code()), ["", "TooManyRequestsException"]);
    for (effect, status, code) in [
        (Effect::Throttle, 429, "TooManyRequestsException"),
        (Effect::Status(500), 500, "InternalServerException"),
        (Effect::ExpireToken, 403, "ExpiredTokenException"),
    ] {
        sim.add_fault(FaultRule::new(effect).operation(Operation::ListRegions).first(1));
        let answer = client.list_regions("{}");
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    assert_eq!(sim.counts().of(HOME, "us-east-1", Operation::ListRegions).throttled, 2);
    assert_eq!(client.in_region(IRELAND).list_regions("{}").code(), "InvalidSignatureException");
    let wrong = client.with_keys(Keys { secret: "wrong".into(), ..client.keys.clone() });
    assert_eq!(wrong.list_regions("{}").code(), "InvalidSignatureException");
}

#[test]
fn ec2_lists_enabled_regions_or_all_on_request() {
    let (_sim, client) = start(&Options::default());
    let answer = client.describe_regions("");
    assert_eq!(answer.header("content-type"), Some("text/xml;charset=UTF-8"));
    let text = answer.text();
    assert!(text.contains("<DescribeRegionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">"));
    assert_eq!(answer.tag("requestId").as_deref(), answer.header("x-amzn-requestid"));
    assert_eq!(all(&text, "regionName"), [IRELAND, "me-south-1", "sa-east-1"]);
    assert_eq!(all(&text, "optInStatus"), ["opt-in-not-required", "opted-in", "opt-in-not-required"]);
    assert_eq!(all(&text, "regionEndpoint")[0], "ec2.eu-west-1.amazonaws.com");
    let count = |more: &str| all(&client.describe_regions(more).text(), "regionName").len();
    assert_eq!(count("&AllRegions=true"), 19);
    assert_eq!(count("&AllRegions=true&Filter.1.Name=opt-in-status&Filter.1.Value.1=not-opted-in"), 16);
    assert_eq!(count("&Filter.1.Name=region-name&Filter.1.Value.1=eu-west-1&Filter.1.Value.2=me-south-1"), 2);
    assert_eq!(count("&RegionName.1=me-south-1&RegionName.2=af-south-1"), 2);
    assert_eq!(client.describe_regions("&RegionName.1=us-west-2").code(), "InvalidParameterValue");
    assert_eq!(client.describe_regions("&Filter.1.Name=zone&Filter.1.Value.1=a").code(), "InvalidParameterValue");
}

#[test]
fn ec2_answers_in_the_home_region_and_in_enabled_ones() {
    let (sim, client) = start(&Options::default());
    assert_eq!(client.in_region(IRELAND).describe_regions("").status, 200);
    let closed = client.in_region("me-central-1").describe_regions("");
    assert_eq!((closed.status, closed.code().as_str()), (401, "AuthFailure"));
    assert_eq!(sim.counts().of(HOME, IRELAND, Operation::DescribeRegions).ok, 1);
    let wrong = client.with_keys(Keys { secret: "wrong".into(), ..client.keys.clone() });
    assert_eq!(wrong.describe_regions("").code(), "SignatureDoesNotMatch");
    let other_action = ("content-type", "application/x-www-form-urlencoded");
    let answer = client.send("ec2", "/", &[other_action], "Action=DescribeVpcs&Version=2016-11-15").unwrap();
    assert_eq!(answer.code(), "InvalidAction");
}

#[test]
fn ec2_errors_have_their_own_format() {
    let (sim, client) = start(&Options::default());
    sim.deny(Denial::new(HOME, Operation::DescribeRegions));
    let answer = client.describe_regions("");
    assert_eq!(answer.status, 403);
    let (head, tail) = answer.text().split_once("<RequestID>").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(
        head,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized \
         to perform this operation. User: arn:aws:iam::111122223333:user/crawler is not authorized to perform: ec2:DescribeRegions because no \
         identity-based policy allows the ec2:DescribeRegions action</Message></Error></Errors>"
    );
    assert_eq!(&tail[36..], "</RequestID></Response>");
    for (effect, status, code) in [
        (Effect::Throttle, 503, "RequestLimitExceeded"),
        (Effect::Status(500), 500, "InternalError"),
        (Effect::Status(503), 503, "Unavailable"),
        (Effect::ExpireToken, 400, "RequestExpired"),
        (Effect::Deny, 403, "UnauthorizedOperation"),
    ] {
        sim.add_fault(FaultRule::new(effect).operation(Operation::DescribeRegions).first(1));
        let answer = client.describe_regions("");
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
}
