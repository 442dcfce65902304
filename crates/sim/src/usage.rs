//! What a person needs to point an AWS client at the simulator.

use std::fmt::Write as _;

use crate::estate::{DemoAccess, DemoAccount};

/// How many accounts are shown.
const SHOWN: usize = 10;

/// How to use a simulator that answers at `url`. The keys exist only in the simulator.
#[must_use]
pub(crate) fn usage(access: &DemoAccess, url: &str) -> String {
    let mut text = "Any AWS client reaches it with these variables:\n\n".to_owned();
    let Some(first) = access.accounts.iter().find(|account| account.role_arn.is_none()) else {
        return format!("It answers at {url}.\n");
    };
    let region = first.regions.first().map_or("us-east-1", String::as_str);
    let _ = writeln!(text, "  export AWS_ENDPOINT_URL={url}");
    let _ = writeln!(text, "  export AWS_ACCESS_KEY_ID={}", first.access_key_id);
    let _ = writeln!(text, "  export AWS_SECRET_ACCESS_KEY={}", first.secret_access_key);
    // The SDKs read the first one, and boto3 the second.
    let _ = writeln!(text, "  export AWS_REGION={region} AWS_DEFAULT_REGION={region}\n");
    text.push_str("For example:\n\n  aws dynamodb list-tables\n");
    let _ = writeln!(text, "  dynacrawl crawl --region {region}\n");
    text.push_str("Accounts:\n");
    access.accounts.iter().take(SHOWN).for_each(|account| one(&mut text, account));
    let more = access.accounts.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

fn one(text: &mut String, account: &DemoAccount) {
    let _ = write!(text, "  {} ({}): ", account.account_id, account.name);
    match &account.role_arn {
        None => _ = write!(text, "access key {}", account.access_key_id),
        Some(role) => {
            let _ = write!(text, "role {role}");
            if let Some(external_id) = &account.external_id {
                let _ = write!(text, " with the external id {external_id}");
            }
        }
    }
    let _ = writeln!(text, "; {}", account.regions.join(", "));
}

#[cfg(test)]
mod tests {
    use super::usage;
    use crate::Estate;

    #[test]
    fn usage_has_what_a_client_needs_and_few_accounts() {
        let demo = Estate::demo();
        let text = usage(&demo.access, "http://127.0.0.1:7777");
        let keys = &demo.access.accounts[0];
        for part in [
            "export AWS_ENDPOINT_URL=http://127.0.0.1:7777\n",
            &format!("export AWS_ACCESS_KEY_ID={}\n", keys.access_key_id),
            &format!("export AWS_SECRET_ACCESS_KEY={}\n", keys.secret_access_key),
            &format!("dynacrawl crawl --region {}\n", keys.regions[0]),
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(demo.access.accounts.iter().all(|account| text.contains(&account.account_id)), "{text}");
        let many = usage(&Estate::uniform(1000, 2, 5).access, "http://127.0.0.1:7777");
        assert!(many.lines().count() < 30 && many.ends_with("and 990 more\n"), "{many}");
        assert_eq!(usage(&Estate::new([]).access, "http://x"), "It answers at http://x.\n");
    }
}
