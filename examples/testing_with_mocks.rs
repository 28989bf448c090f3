//! How an application tests its own code against clouds that it does not have: with mocks.
//!
//! `cargo run --example testing_with_mocks` shows one mocked call; `cargo test --example testing_with_mocks` runs the tests below.
//! In your own Cargo.toml: `[dev-dependencies] multicloud = { version = "…", features = ["mock"] }`.

use std::sync::Arc;

use multicloud::core::{
    Bucket, BucketSpec, ClientToken, Cloud, ListQuery, MockCloud, MockStorage, Page, Region,
    ResourceId, ResourceKind, ResourceStatus, Result, StorageExt, Tags,
};

/// The code under test: makes sure that a cloud has our bucket, and says whether it had to be made.
async fn ensure_bucket(cloud: &dyn Cloud, name: &str, region: &Region) -> Result<bool> {
    let storage = cloud.storage()?;
    let query = ListQuery { name: Some(name.to_owned()), ..ListQuery::in_region(region.clone()) };
    // Complete or an error: half a listing must not make us create a second bucket.
    let found = storage.list_buckets(&query).complete().await?;
    if !found.items().is_empty() {
        return Ok(false);
    }
    let spec = BucketSpec::new(name, region.clone());
    storage.create_bucket(&spec, &ClientToken::random()).await?;
    Ok(true)
}

/// A cloud that offers this storage and nothing else.
fn cloud_with(storage: MockStorage) -> MockCloud {
    let storage: Arc<MockStorage> = Arc::new(storage);
    let mut cloud = MockCloud::new();
    cloud.expect_storage().returning(move || Ok(storage.clone()));
    cloud
}

fn assets(region: &Region) -> Result<Bucket> {
    Ok(Bucket {
        id: ResourceId::new(ResourceKind::Bucket, region.clone(), "assets")?,
        name: "assets".into(),
        status: ResourceStatus::Running,
        versioning: false,
        tags: Tags::default(),
        created_at: None,
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let region = Region::new("eu-1")?;
    let mut storage = MockStorage::new();
    storage.expect_list_buckets_page().returning(|_, _| Ok(Page::last(vec![])));
    let made = assets(&region)?;
    storage.expect_create_bucket().times(1).returning(move |_, _| Ok(made.clone()));

    let created = ensure_bucket(&cloud_with(storage), "assets", &region).await?;
    println!("created a bucket: {created}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use multicloud::core::{Error, ErrorKind, PageToken};

    use super::*;

    #[tokio::test]
    async fn a_bucket_on_the_last_page_is_not_made_again() {
        let region = Region::new("eu-1").unwrap();
        let found = assets(&region).unwrap();
        let mut storage = MockStorage::new();
        storage.expect_list_buckets_page().times(2).returning(move |query, page| {
            assert_eq!(query.name.as_deref(), Some("assets"));
            Ok(match page.after {
                None => Page { items: vec![], next: Some(PageToken::new("2")?) },
                Some(_) => Page::last(vec![found.clone()]),
            })
        });
        // No expectation for create_bucket: calling it would fail the test.
        assert!(!ensure_bucket(&cloud_with(storage), "assets", &region).await.unwrap());
    }

    #[tokio::test]
    async fn an_outage_in_the_middle_of_a_listing_makes_nothing() {
        let region = Region::new("eu-1").unwrap();
        let mut storage = MockStorage::new();
        storage
            .expect_list_buckets_page()
            .returning(|_, _| Err(Error::new(ErrorKind::Unavailable, "region is down")));
        let error = ensure_bucket(&cloud_with(storage), "assets", &region).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}
