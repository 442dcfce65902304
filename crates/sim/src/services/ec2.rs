//! Amazon EC2, in EC2 Query: DescribeRegions.

use bytes::Bytes;

use super::service::{Answer, Call, Request, Service};
use crate::caller::Caller;
use crate::errors::{AwsError, Errors};
use crate::operation::Operation;
use crate::query::Parameters;
use crate::regions::{OptIn, home_region, regions_of};
use crate::xml::escape_xml;

const VERSION: &str = "2016-11-15";

/// Amazon EC2.
#[derive(Debug)]
pub(super) struct Ec2;

impl Service for Ec2 {
    fn name(&self) -> &'static str {
        "ec2"
    }

    fn content_type(&self) -> &'static str {
        "text/xml;charset=UTF-8"
    }

    fn operations(&self) -> &'static [(Operation, Answer)] {
        &[(Operation::DescribeRegions, describe_regions)]
    }

    fn of_action(&self, action: &str, version: &str) -> Option<Operation> {
        self.operation(action).or((version == VERSION).then_some(Operation::Other))
    }

    fn answers_without_opt_in(&self, partition: &str, region: &str) -> bool {
        region == home_region(partition)
    }

    fn denied(&self, call: &Call<'_>, caller: &Caller<'_>, _table: Option<&str>) -> AwsError {
        let (user, action) = (caller.arn(), call.operation.as_str());
        self.access_denied(format!(
            "You are not authorized to perform this operation. User: {user} is not authorized to perform: ec2:{action} because no \
             identity-based policy allows the ec2:{action} action"
        ))
    }
}

impl Errors for Ec2 {
    fn body(&self, error: &AwsError, request_id: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors>\
             <RequestID>{request_id}</RequestID></Response>",
            escape_xml(error.code()),
            escape_xml(&error.message)
        )
    }

    fn about_caller(&self, _json_code: &'static str, query_code: &'static str, message: String) -> AwsError {
        AwsError::plain(query_code, 403, message)
    }

    fn unrecognized_client(&self) -> AwsError {
        AwsError::plain("AuthFailure", 401, "AWS was not able to validate the provided access credentials")
    }

    fn expired_token(&self) -> AwsError {
        AwsError::plain("RequestExpired", 400, "Request has expired.")
    }

    fn access_denied(&self, message: String) -> AwsError {
        AwsError::plain("UnauthorizedOperation", 403, message)
    }

    fn throttled(&self) -> AwsError {
        AwsError::plain("RequestLimitExceeded", 503, "Request limit exceeded.")
    }

    fn invalid(&self, message: String) -> AwsError {
        AwsError::plain("InvalidParameterValue", 400, message)
    }

    fn unknown_operation(&self) -> AwsError {
        AwsError::plain("InvalidAction", 400, "The action is not valid for this web service.")
    }

    fn not_found(&self, what: &str) -> AwsError {
        AwsError::plain("InvalidParameterValue", 400, format!("{what} cannot be found."))
    }

    fn internal_code(&self) -> Option<&'static str> {
        Some("InternalError")
    }

    fn unavailable_code(&self) -> &'static str {
        "Unavailable"
    }
}

/// DescribeRegions: the Regions that the account has and, if wanted, those that it could have.
fn describe_regions(request: &Request<'_>) -> Result<Bytes, AwsError> {
    let Request { call, caller, .. } = *request;
    let parameters = &call.parameters;
    let names = parameters.list("RegionName");
    let all = parameters.get("AllRegions").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let regions = regions_of(caller.account);
    if let Some(unknown) = names.iter().find(|name| !regions.iter().any(|(region, _)| region == *name)) {
        return Err(Ec2.invalid(format!("Invalid region names provided : [{unknown}]")));
    }
    let domain = if caller.account.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let mut items = String::new();
    for (region, status) in regions {
        let shown = if names.is_empty() { all || status != OptIn::Open } else { names.contains(&region) };
        let status = opt_in_status(status);
        if shown && fits_filters(parameters, region, status)? {
            items.push_str(&format!(
                "<item><regionName>{region}</regionName><regionEndpoint>ec2.{region}.{domain}</regionEndpoint>\
                 <optInStatus>{status}</optInStatus></item>"
            ));
        }
    }
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeRegionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>{}</requestId><regionInfo>{items}</regionInfo></DescribeRegionsResponse>",
        call.request_id
    )
    .into())
}

/// Whether a Region matches all filters. Each filter requires one of its values.
fn fits_filters(parameters: &Parameters, region: &str, status: &str) -> Result<bool, AwsError> {
    for number in 1.. {
        let Some(name) = parameters.get(&format!("Filter.{number}.Name")) else { break };
        let value = match name {
            "opt-in-status" => status,
            "region-name" => region,
            _ => return Err(Ec2.invalid(format!("The filter '{name}' is invalid"))),
        };
        if !parameters.list(&format!("Filter.{number}.Value")).contains(&value) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The service's value for the opt-in status of a Region.
fn opt_in_status(status: OptIn) -> &'static str {
    match status {
        OptIn::NotRequired => "opt-in-not-required",
        OptIn::Done => "opted-in",
        OptIn::Open => "not-opted-in",
    }
}
