//! Amazon EC2: DescribeRegions.

use bytes::Bytes;

use crate::answer::Call;
use crate::caller::Caller;
use crate::errors::{self, AwsError};
use crate::query::Parameters;
use crate::regions::{OptIn, regions_of};
use crate::service::Service;

/// Answers a request to Amazon EC2.
pub(crate) fn answer(call: &Call<'_>, caller: &Caller<'_>) -> Result<Bytes, AwsError> {
    let parameters = &call.parameters;
    let names = parameters.list("RegionName");
    let all = parameters.get("AllRegions").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let regions = regions_of(caller.account);
    if let Some(unknown) = names.iter().find(|name| !regions.iter().any(|(region, _)| region == *name)) {
        return Err(errors::invalid(Service::Ec2, format!("Invalid region names provided : [{unknown}]")));
    }
    let domain = if caller.account.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let mut items = String::new();
    for (region, status) in regions {
        let shown = if names.is_empty() { all || status != OptIn::Open } else { names.contains(&region) };
        let status = status.opt_in_status();
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

/// Whether a Region passes all filters: each wants one of its values.
fn fits_filters(parameters: &Parameters, region: &str, status: &str) -> Result<bool, AwsError> {
    for number in 1.. {
        let Some(name) = parameters.get(&format!("Filter.{number}.Name")) else { break };
        let value = match name {
            "opt-in-status" => status,
            "region-name" => region,
            _ => return Err(errors::invalid(Service::Ec2, format!("The filter '{name}' is invalid"))),
        };
        if !parameters.list(&format!("Filter.{number}.Value")).contains(&value) {
            return Ok(false);
        }
    }
    Ok(true)
}
