//! Finding by tags over all services at once: what bears tags is found whatever it is, also what no kind of resource here models.

use std::sync::Arc;

use aws_sdk_resourcegroupstagging::types::TagFilter;
use cloud_core::{Error, Listing, Ownership, Page, PageRequest, Region, Result, Tags};

use crate::{account::Account, error::reads, listing, provider::AwsCloud, tags};

/// As many as AWS puts on a page at most.
const MOST: i32 = 100;

/// What bears which tags.
///
/// ```
/// use cloud_aws::TagQuery;
/// let query = TagQuery { types: vec!["ec2:natgateway".into()], ..TagQuery::default() };
/// assert!(query.region.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagQuery {
    /// Only this region; `None` is every region that the cloud is set up for. What has no region (IAM, Route 53, CloudFront) is found
    /// in `us-east-1`.
    pub region: Option<Region>,
    /// Only what bears all of these tags, with these values: at most 50.
    pub tags: Tags,
    /// Only what bears tags of all these keys, whatever the value.
    pub keys: Vec<String>,
    /// Only these types, as `ec2:instance`, or `ec2` for all of a service; none is any: at most 100
    /// ([GetResources](https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html)).
    pub types: Vec<String>,
}

/// Something that bears tags.
///
/// ```
/// use cloud_aws::TaggedResource;
/// fn is_gateway(found: &TaggedResource) -> bool { found.resource_type() == "ec2:natgateway" }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedResource {
    /// Its ARN.
    pub arn: String,
    /// Where it was found.
    pub region: Region,
    /// Its tags, but for those longer than any cloud's may be.
    pub tags: Tags,
}

impl TaggedResource {
    /// Service and type as its ARN says them: `ec2:natgateway`, `s3`, `elasticloadbalancing:loadbalancer`.
    pub fn resource_type(&self) -> String {
        let mut parts = self.arn.splitn(6, ':').skip(2);
        let service = parts.next().unwrap_or_default();
        let rest = parts.nth(2).unwrap_or_default();
        match rest.split_once(['/', ':']) {
            Some((kind, _)) if service != "s3" => format!("{service}:{kind}"),
            _ => service.to_owned(),
        }
    }

    /// Whose it is, if it bears the tags that say so.
    pub fn ownership(&self) -> Option<Ownership> {
        Ownership::read(&self.tags)
    }
}

impl AwsCloud {
    /// What bears tags, of whatever kind and service, by region and page.
    ///
    /// AWS's index of tags follows some seconds or minutes after what happens, so neither is this a proof that something is not
    /// there, nor does what it finds have to exist still. The listings of the services say what is there.
    ///
    /// The stream ends after its first error: [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a region that this cloud is not
    /// set up for or too many types, or any.
    ///
    /// ```no_run
    /// # use cloud_aws::{AwsCloud, TagQuery};
    /// # use cloud_core::{Ownership, Result};
    /// async fn gateways(aws: &AwsCloud) -> Result<Vec<String>> {
    ///     let query = TagQuery {
    ///         tags: Ownership::filter_deployment("shop")?,
    ///         types: vec!["ec2:natgateway".into()],
    ///         ..TagQuery::default()
    ///     };
    ///     let found = aws.tagged_resources(&query).complete().await?;
    ///     Ok(found.into_items().into_iter().map(|found| found.arn).collect())
    /// }
    /// ```
    pub fn tagged_resources(&self, query: &TagQuery) -> Listing<'_, TaggedResource> {
        let query = query.clone();
        Listing::new(PageRequest::default(), move |request| {
            let query = query.clone();
            async move {
                let page = tagged_page(self.account(), &query, &request).await;
                page.map_err(self.account().in_call("tagging.tagged_resources"))
            }
        })
    }

    /// What bears the tags of our deployments and is not `known` to belong to one: left by a run that nobody remembers, or of a kind
    /// that no listing has. Nothing is deleted.
    ///
    /// Eventually consistent, as [`tagged_resources`](Self::tagged_resources): look again before something is deleted for it.
    ///
    /// ```no_run
    /// # use cloud_aws::AwsCloud;
    /// # use cloud_core::Result;
    /// async fn left(aws: &AwsCloud) -> Result<()> {
    ///     for orphan in aws.orphans(|owner| owner.deployment == "shop").complete().await?.items() {
    ///         println!("{} of {:?}", orphan.arn, orphan.ownership());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn orphans<'a>(
        &'a self,
        known: impl Fn(&Ownership) -> bool + Send + Sync + 'a,
    ) -> Listing<'a, TaggedResource> {
        let query = TagQuery {
            keys: vec![Ownership::DEPLOYMENT.to_owned(), Ownership::TOKEN.to_owned()],
            ..TagQuery::default()
        };
        let known = Arc::new(known);
        Listing::new(PageRequest::default(), move |request| {
            let (query, known) = (query.clone(), known.clone());
            async move {
                let page = tagged_page(self.account(), &query, &request).await;
                let mut page = page.map_err(self.account().in_call("tagging.orphans"))?;
                page.items.retain(|found| found.ownership().is_some_and(|owner| !known(&owner)));
                Ok(page)
            }
        })
    }
}

async fn tagged_page(
    account: &Account,
    query: &TagQuery,
    page: &PageRequest,
) -> Result<Page<TaggedResource>> {
    if query.types.len() > MOST as usize {
        let problem = format!("has {}", query.types.len());
        return Err(Error::invalid("types", problem, format_args!("at most {MOST}")));
    }
    let filters = query.tags.iter().map(|(key, value)| (key, Some(value)));
    let filters = filters.chain(query.keys.iter().map(|key| (key, None)));
    let filters: Vec<_> = filters
        .map(|(key, value)| {
            TagFilter::builder().key(key).set_values(value.map(|value| vec![value.clone()])).build()
        })
        .collect();
    if filters.len() > Tags::MAX {
        let problem = format!("asks for {} tags", filters.len());
        return Err(Error::invalid("tag query", problem, format_args!("at most {}", Tags::MAX)));
    }
    let fetch = |region: Region, token: Option<String>| {
        let filters = filters.clone();
        async move {
            let answer = account
                .resourcegroupstagging(&region)?
                .get_resources()
                .set_tag_filters((!filters.is_empty()).then_some(filters))
                .set_resource_type_filters((!query.types.is_empty()).then(|| query.types.clone()))
                .resources_per_page(MOST)
                .set_pagination_token(token)
                .send()
                .await
                .map_err(reads("resourcegroupstaggingapi"))?;
            let next = answer.pagination_token().filter(|token| !token.is_empty());
            let next = next.map(str::to_owned);
            let found = answer.resource_tag_mapping_list.unwrap_or_default().into_iter();
            let found = found.filter_map(|found| {
                let pairs = found.tags.unwrap_or_default().into_iter();
                let (tags, _) = tags::read(pairs.map(|tag| (tag.key, tag.value)));
                Some(TaggedResource { arn: found.resource_arn?, region: region.clone(), tags })
            });
            Ok((found.collect(), next))
        }
    };
    let regions = listing::regions(account, query.region.as_ref())?;
    listing::over(regions, page, |found: &TaggedResource| &found.arn, |_| true, fetch).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_the_type() {
        let of = |arn: &str| {
            let region = Region::new("eu-1").unwrap();
            TaggedResource { arn: arn.into(), region, tags: Tags::default() }.resource_type()
        };
        assert_eq!(of("arn:aws:ec2:eu-1:123456789012:natgateway/nat-1"), "ec2:natgateway");
        assert_eq!(of("arn:aws:rds:eu-1:123456789012:db:orders"), "rds:db");
        assert_eq!(of("arn:aws:s3:::assets"), "s3");
        assert_eq!(of("arn:aws:sns:eu-1:123456789012:topic"), "sns");
        assert_eq!(of("nonsense"), "");
    }
}
