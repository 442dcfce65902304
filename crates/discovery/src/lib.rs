//! Finds what to crawl: the accounts of an AWS organization, and the Regions that an account has
//! enabled.
//!
//! This crate does not know what is crawled there.

mod ec2;
mod organization;
mod regions;

pub use organization::{AccountFilter, FoundAccounts, InvalidUnit, Organization, UnitId};
pub use regions::{AccountRegions, FoundRegions};

use std::collections::{BTreeMap, HashSet};

use dynacrawl_auth::Caller;
use dynacrawl_aws::{AwsError, ErrorClass};
use dynacrawl_model::Operation;

/// The endpoints to call instead of AWS's own.
#[derive(Clone, Debug, Default)]
pub struct DiscoveryUrls {
    /// AWS Organizations.
    pub organizations: Option<String>,
    /// AWS Account Management.
    pub account: Option<String>,
    /// Amazon EC2.
    pub ec2: Option<String>,
}

/// A call that failed and is not retried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {error}", operation.action())]
#[non_exhaustive]
pub struct DiscoveryError {
    /// The call.
    pub operation: Operation,
    /// The error of its last attempt.
    pub error: AwsError,
}

/// One page of a listing.
struct Page<K, V> {
    items: Vec<(K, V)>,
    /// Why items could not be read.
    unreadable: Vec<String>,
    next: Option<String>,
}

impl<K, V> Page<K, V> {
    /// A page of items, each given as an item or as the reason why it cannot be read.
    fn new(items: impl IntoIterator<Item = Result<(K, V), String>>, next: Option<String>) -> Self {
        let mut page = Self { items: Vec::new(), unreadable: Vec::new(), next };
        for item in items {
            match item {
                Ok(item) => page.items.push(item),
                Err(problem) => page.unreadable.push(problem),
            }
        }
        page
    }
}

/// The result of a listing.
struct Listed<K, V> {
    items: BTreeMap<K, V>,
    /// The error that ended it early.
    failed: Option<DiscoveryError>,
    /// The first item that could not be read.
    unreadable: Option<DiscoveryError>,
}

/// AWS may send empty pages before the last. After this many in a row, no more are requested.
const PAGES_WITHOUT_NEWS: u32 = 100;

/// All pages of a listing.
async fn pages<K: Ord, V, F>(caller: &Caller, operation: Operation, page: impl Fn(Option<String>) -> F) -> Listed<K, V>
where
    F: Future<Output = Result<Page<K, V>, AwsError>>,
{
    let mut listed = Listed { items: BTreeMap::new(), failed: None, unreadable: None };
    let invalid = |message: &str| {
        let error = AwsError::new(ErrorClass::Other, "invalid_response", message);
        Some(DiscoveryError { operation, error })
    };
    let (mut next, mut seen, mut without_news) = (None::<String>, HashSet::new(), 0);
    loop {
        let answer = match caller.call(operation, |_| {}, || page(next.clone())).await {
            Ok(answer) => answer,
            Err(failed) => {
                listed.failed = Some(DiscoveryError { operation, error: failed.error });
                return listed;
            }
        };
        let before = listed.items.len();
        listed.items.extend(answer.items);
        if let Some(problem) = answer.unreadable.first()
            && listed.unreadable.is_none()
        {
            listed.unreadable = invalid(problem);
        }
        let Some(token) = answer.next.filter(|token| !token.is_empty()) else { return listed };
        without_news = if listed.items.len() > before { 0 } else { without_news + 1 };
        if without_news >= PAGES_WITHOUT_NEWS {
            listed.failed = invalid("100 pages in a row brought nothing new: the listing would never end");
        } else if !seen.insert(token.clone()) {
            listed.failed = invalid("NextToken is that of an earlier page: the listing would never end");
        }
        if listed.failed.is_some() {
            return listed;
        }
        next = Some(token);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use dynacrawl_auth::{BaseCredentials, CredentialPool, CredentialSpec, UserKeys};
    use dynacrawl_aws::{AwsError, Quota, RetryPolicy};
    use dynacrawl_model::{Operation, QuotaName};

    use super::{Caller, Listed, PAGES_WITHOUT_NEWS, Page, pages};

    fn caller() -> Caller {
        let secret_access_key = "secret".to_owned().into();
        let keys = UserKeys { access_key_id: "AKIA".to_owned(), secret_access_key, session_token: None };
        let spec = CredentialSpec { base: BaseCredentials::Keys(keys), chain: Vec::new() };
        let config = aws_types::SdkConfig::builder().build();
        let chain = CredentialPool::default().chain(&spec, None, &config, None);
        let quota = Quota { name: QuotaName::Organizations, rate: None, concurrency: 1 };
        Caller::within(quota, chain.last().credentials.clone(), RetryPolicy::default())
    }

    /// Lists the pages that `page` makes of their numbers; also returns how many were requested.
    async fn listing(page: impl Fn(u32) -> Page<u32, ()>) -> (Listed<u32, ()>, u32) {
        let asked = AtomicU32::new(0);
        let answer =
            |_: Option<String>| std::future::ready(Ok::<_, AwsError>(page(asked.fetch_add(1, Ordering::SeqCst))));
        let listed = pages(&caller(), Operation::ListAccounts, answer).await;
        (listed, asked.into_inner())
    }

    fn message(listed: &Listed<u32, ()>) -> String {
        listed.failed.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    #[tokio::test]
    async fn empty_pages_are_allowed() {
        let (listed, asked) = listing(|number| {
            let items = if number % 50 == 49 { vec![Ok((number, ()))] } else { Vec::new() };
            Page::new(items, (number < 199).then(|| number.to_string()))
        })
        .await;
        assert_eq!((listed.items.len(), message(&listed).as_str(), asked), (4, "", 200));
    }

    #[tokio::test]
    async fn pages_that_point_at_each_other_end_the_listing() {
        let (listed, asked) = listing(|number| Page::new([Ok((number, ()))], Some((number % 2).to_string()))).await;
        assert!(message(&listed).contains("NextToken is that of an earlier page"), "{}", message(&listed));
        assert_eq!((listed.items.len(), asked), (3, 3));
    }

    #[tokio::test]
    async fn pages_without_anything_new_end_the_listing() {
        let (listed, asked) = listing(|number| Page::new([Ok((7, ()))], Some(number.to_string()))).await;
        assert!(message(&listed).contains("brought nothing new"), "{}", message(&listed));
        assert_eq!((listed.items.len(), asked), (1, PAGES_WITHOUT_NEWS + 1));
    }

    #[tokio::test]
    async fn unreadable_items_are_reported_and_the_rest_is_kept() {
        let (listed, _) = listing(|_| Page::new([Ok((1, ())), Err("'x' is not a number".to_owned())], None)).await;
        assert_eq!((listed.items.len(), listed.failed), (1, None));
        assert!(listed.unreadable.is_some_and(|problem| problem.to_string().contains("'x' is not a number")));
    }
}
