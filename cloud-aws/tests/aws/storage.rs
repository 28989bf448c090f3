//! Buckets and their contents: the conformance suite against three servers, and what only S3 has.

#[path = "objects.rs"]
mod objects;
#[path = "plain.rs"]
mod plain;

use aws_sdk_s3::types::{BucketVersioningStatus, ObjectOwnership};
use bytes::Bytes;
use cloud_aws::{
    AwsBucket, BucketEncryption, BucketReplication, LifecycleRule, LifecycleTransition,
    PublicAccessBlock, StorageClass,
};
use cloud_core::{
    Bucket, BucketSpec, ClientToken, DeleteOptions, Effect, Error, ErrorKind, ListQuery,
    PageRequest, ResourceId, ResourceKind, ResourceStatus, Result, Retry, Storage, StorageExt,
    Tags,
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{MultipartUpload, ObjectStoreExt, path::Path};

use cloud_rig::{Fault, Keys, Kind, Reply, Seen, What};

use crate::harness::{Aws, Excluded, REGIONS, conform, open, region};

const WITH_CONTENTS: DeleteOptions = DeleteOptions { with_contents: true };

const TWO_STEPS: &str = "it looks and writes in two steps: of writers at once several win";

/// Trials that moto's S3 fails, not the adapter.
const MOTO: Excluded = &[
    ("objects.longest_key", "it never looks at the length of a key"),
    ("objects.put_if_absent", TWO_STEPS),
    ("objects.one_winner", TWO_STEPS),
];

/// Trials that s3s-fs fails, not the adapter.
const S3S: Excluded = &[
    ("objects.longest_key", "it makes one file name of the whole key, which may have 255 bytes"),
    ("objects.put_if_absent", TWO_STEPS),
    ("objects.one_winner", TWO_STEPS),
];

/// Trials that ministack fails, not the adapter.
const MINISTACK: Excluded = &[("objects.longest_key", "it never looks at the length of a key")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_at_moto_do_what_every_bucket_must() {
    let Some(aws) = Aws::alone_at(Kind::Moto).await else { return };
    conform(&aws, &[], |name| name.starts_with("bucket.")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_at_moto_do_what_every_object_must() {
    let Some(aws) = Aws::alone_at(Kind::Moto).await else { return };
    conform(&aws, MOTO, |name| name.starts_with("objects.")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_and_objects_at_ministack_do_what_they_must() {
    let Some(aws) = Aws::at(Kind::Ministack).await else { return };
    let picks = |name: &str| name.starts_with("bucket.") || name.starts_with("objects.");
    conform(&aws, MINISTACK, picks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_at_a_strict_server_do_what_every_object_must() {
    let Some(aws) = Aws::at(Kind::S3s).await else { return };
    plain::conform(&aws, S3S).await;
}

fn name(front: &str) -> String {
    format!("{front}-{}", uuid::Uuid::new_v4().simple())
}

fn spec(front: &str) -> BucketSpec {
    let mut spec = BucketSpec::new(name(front), region(REGIONS[0]));
    spec.tags = Tags::new([("team", "orders")]).unwrap();
    spec
}

fn with(mut spec: BucketSpec, settings: &AwsBucket) -> BucketSpec {
    spec.overrides.set(settings).unwrap();
    spec
}

async fn create(storage: &dyn Storage, spec: &BucketSpec) -> Result<Bucket> {
    storage.create_bucket(spec, &ClientToken::random()).await
}

fn id_in(place: &str, name: &str) -> ResourceId {
    ResourceId::new(ResourceKind::Bucket, region(place), name).unwrap()
}

/// A request that sets or asks for this of a bucket.
fn setting(method: &'static str, what: &'static str) -> impl Fn(&Seen) -> bool + Send + 'static {
    move |seen| {
        seen.method == method && seen.query.split('&').any(|p| p.trim_end_matches('=') == what)
    }
}

/// A request that creates a bucket.
fn creation(seen: &Seen) -> bool {
    seen.method == "PUT"
        && seen.path.trim_matches('/').split('/').count() == 1
        && seen.query.split('&').all(|pair| pair.is_empty() || pair.starts_with("x-id="))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_closed_encrypted_and_owned_by_default() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let mut plain = spec("safe");
    plain.versioning = true;
    let bucket = create(&*storage, &plain).await.unwrap();
    assert_eq!(storage.public_access_block(&bucket.id).await.unwrap(), PublicAccessBlock::ALL);
    assert_eq!(storage.encryption(&bucket.id).await.unwrap(), BucketEncryption::S3);
    assert_eq!(storage.lifecycle(&bucket.id).await.unwrap(), []);
    assert_eq!(storage.replication(&bucket.id).await.unwrap(), None);
    let s3 = aws.cloud.s3(&bucket.id.region).unwrap();
    let own = s3.get_bucket_ownership_controls().bucket(&bucket.name).send().await.unwrap();
    let rule = own.ownership_controls.unwrap().rules.remove(0);
    assert_eq!(rule.object_ownership, ObjectOwnership::BucketOwnerEnforced);
    let versions = s3.get_bucket_versioning().bucket(&bucket.name).send().await.unwrap();
    assert_eq!(versions.status, Some(BucketVersioningStatus::Enabled));
    // The tags were part of the very request that created it, whatever moto made of them.
    let created = aws.proxy.requests().into_iter().filter(creation).collect::<Vec<_>>();
    let body = String::from_utf8(created[0].body.to_vec()).unwrap();
    assert!(body.contains("<Key>team</Key>") && body.contains("multicloud-request"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_spec_are_set_read_back_and_changed() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let mut copy = spec("copy");
    copy.versioning = true;
    create(&*storage, &copy).await.unwrap();
    let mut logs = LifecycleRule::expire("logs", "logs/", 365);
    logs.transitions = vec![LifecycleTransition { after_days: 30, to: StorageClass::StandardIa }];
    logs.abort_uploads_after_days = Some(7);
    let mut old = LifecycleRule::expire("old", "", 9);
    old.expire_after_days = None;
    old.expire_old_versions_after_days = Some(10);
    let mut to = BucketReplication::new(&copy.name, "arn:aws:iam::123456789012:role/replicate");
    to.prefix = "kept/".into();
    let settings = AwsBucket {
        allow_public: true,
        encryption: BucketEncryption::Kms { key: "alias/orders".into(), bucket_key: true },
        lifecycle: vec![logs.clone(), old.clone()],
        replication: Some(to.clone()),
    };
    let mut wanted = with(spec("set"), &settings);
    wanted.versioning = true;
    let id = create(&*storage, &wanted).await.unwrap().id;
    assert_eq!(storage.public_access_block(&id).await.unwrap(), PublicAccessBlock::NONE);
    assert_eq!(storage.encryption(&id).await.unwrap(), settings.encryption);
    assert_eq!(storage.lifecycle(&id).await.unwrap(), [logs.clone(), old]);
    // moto answers with an empty prefix, whatever was put: s3/responses.py, get_bucket_replication.
    to.prefix.clear();
    assert_eq!(storage.replication(&id).await.unwrap(), Some(to));

    storage.set_public_access_block(&id, PublicAccessBlock::ALL).await.unwrap();
    storage.set_encryption(&id, &BucketEncryption::S3).await.unwrap();
    storage.set_lifecycle(&id, std::slice::from_ref(&logs)).await.unwrap();
    storage.set_replication(&id, None).await.unwrap();
    assert_eq!(storage.public_access_block(&id).await.unwrap(), PublicAccessBlock::ALL);
    assert_eq!(storage.encryption(&id).await.unwrap(), BucketEncryption::S3);
    assert_eq!(storage.lifecycle(&id).await.unwrap(), [logs]);
    assert_eq!(storage.replication(&id).await.unwrap(), None);
    storage.set_lifecycle(&id, &[]).await.unwrap();
    assert_eq!(storage.lifecycle(&id).await.unwrap(), []);

    let absent = id_in(REGIONS[0], &name("absent"));
    for error in [
        storage.encryption(&absent).await.unwrap_err(),
        storage.set_lifecycle(&absent, &[]).await.unwrap_err(),
        storage.object_location(&absent).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::NotFound, Effect::None), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_somebody_made_is_never_taken_over() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let s3 = aws.cloud.s3(&region(REGIONS[0])).unwrap();
    // S3 itself would answer with success in us-east-1, and reset its ACLs.
    let by_hand = spec("hand");
    s3.create_bucket().bucket(&by_hand.name).send().await.unwrap();
    let put = s3.put_object().bucket(&by_hand.name).key("kept");
    put.body(Bytes::from_static(b"x").into()).send().await.unwrap();
    let before = aws.proxy.count(creation);
    let error = create(&*storage, &by_hand).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::AlreadyExists, Effect::None));
    assert_eq!(aws.proxy.count(creation), before, "S3 was asked to create it");
    assert!(storage.get_bucket(&id_in(REGIONS[0], &by_hand.name)).await.unwrap().tags.is_empty());

    // One of another region, and one of another create.
    let mut elsewhere = spec("elsewhere");
    elsewhere.region = region(REGIONS[1]);
    let made = create(&*storage, &elsewhere).await.unwrap();
    elsewhere.region = region(REGIONS[0]);
    let error = create(&*storage, &elsewhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.message().contains(REGIONS[1]), "{error}");
    assert_eq!(storage.get_bucket(&made.id).await.unwrap().tags, elsewhere.tags);

    // What a create left that broke off before a server like moto was told the tags is completed.
    let broken = spec("broken");
    s3.create_bucket().bucket(&broken.name).send().await.unwrap();
    let bucket = create(&*storage, &broken).await.unwrap();
    assert_eq!(storage.get_bucket(&bucket.id).await.unwrap().tags, broken.tags);
    assert_eq!(storage.public_access_block(&bucket.id).await.unwrap(), PublicAccessBlock::ALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_is_refused_half_way_is_undone() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let wanted = spec("undone");
    let refuse = What::error(400, "InvalidArgument", "no such key");
    aws.proxy.inject(Fault::when(setting("PUT", "encryption"), refuse));
    let error = create(&*storage, &wanted).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::InvalidInput, Effect::None),
        "{error:?}"
    );
    assert_eq!(aws.proxy.faults_left(), 0);
    let gone = storage.get_bucket(&id_in(REGIONS[0], &wanted.name)).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_broke_off_is_completed_by_another_process() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    for (what, matches) in [
        (What::ForwardThenDrop, Box::new(creation) as Box<dyn Fn(&Seen) -> bool + Send>),
        (What::internal_error(), Box::new(setting("PUT", "tagging"))),
        (What::throttled(), Box::new(setting("PUT", "encryption"))),
        (What::ForwardThenDrop, Box::new(setting("PUT", "versioning"))),
        // S3's servers hear of a new bucket one after the other.
        (
            What::error(404, "NoSuchBucket", "not yet"),
            Box::new(setting("PUT", "publicAccessBlock")),
        ),
    ] {
        let mut wanted = spec("completed");
        wanted.versioning = true;
        let token = ClientToken::random();
        aws.proxy.inject(Fault::when(matches, what));
        let first = aws.cloud.aws_storage().create_bucket(&wanted, &token).await;
        let error = first.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown, "{error:?}");
        assert_eq!(error.operation(), Some("storage.create_bucket"));
        assert_eq!(aws.proxy.faults_left(), 0);
        // A process that knows nothing of the first.
        let again = open(&aws.proxy.url(), aws.emulator.keys()).await.aws_storage();
        let bucket = again.create_bucket(&wanted, &token).await.unwrap();
        let got = again.get_bucket(&bucket.id).await.unwrap();
        assert!(got.versioning && got.tags == wanted.tags, "{got:?}");
        assert_eq!(again.public_access_block(&bucket.id).await.unwrap(), PublicAccessBlock::ALL);
        // The same token for something else is still refused, and another token does not get it.
        let mut other = wanted.clone();
        other.versioning = false;
        let error = again.create_bucket(&other, &token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        let third = open(&aws.proxy.url(), aws.emulator.keys()).await.aws_storage();
        let error = third.create_bucket(&other, &token).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Conflict, Effect::None),
            "{error:?}"
        );
        let error = create(&*third, &wanted).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_another_region_is_not_there() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let mut far = spec("far");
    far.region = region(REGIONS[1]);
    let made = create(&*storage, &far).await.unwrap();
    let wrong = id_in(REGIONS[0], &far.name);
    assert_eq!(storage.get_bucket(&wrong).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(storage.object_store(&wrong).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!storage.delete_bucket(&wrong, &WITH_CONTENTS).await.unwrap());
    let here = storage.list_buckets(&ListQuery {
        name: Some(far.name.clone()),
        ..ListQuery::in_region(region(REGIONS[0]))
    });
    assert_eq!(here.complete().await.unwrap().items(), []);
    let anywhere = ListQuery { name: Some(far.name.clone()), ..ListQuery::default() };
    let found = storage.list_buckets(&anywhere).complete().await.unwrap().into_items();
    assert_eq!(found.iter().map(|bucket| &bucket.id).collect::<Vec<_>>(), [&made.id]);
    assert!(found[0].created_at.is_some());

    // As AWS says it: the server of one region points to that of the other.
    let redirect = What::Answer(std::sync::Arc::new(|_| {
        let mut reply = Reply::new(301, "application/xml", "");
        reply.headers.insert("x-amz-bucket-region", REGIONS[1].parse().unwrap());
        reply
    }));
    aws.proxy.inject(Fault::when(|seen| seen.method == "HEAD", redirect));
    assert_eq!(storage.get_bucket(&wrong).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(aws.proxy.faults_left(), 0);

    far.region = region("ap-south-1");
    let error = create(&*storage, &far).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidInput, Effect::None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_so() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let denied = aws.denied().await.aws_storage();
    let error = create(&*denied, &spec("denied")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::PermissionDenied, Effect::None),
        "{error:?}"
    );
    let wrong = Keys { secret_access_key: "wrong".into(), ..aws.emulator.keys().clone() };
    let stranger = open(&aws.proxy.url(), &wrong).await.aws_storage();
    let error = stranger.list_buckets_page(&ListQuery::default(), &PageRequest::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    // Nor may who is in by the data plane.
    let bucket = create(&*aws.cloud.aws_storage(), &spec("closed")).await.unwrap();
    let objects = aws.cloud.aws_storage().object_store(&bucket.id).await.unwrap();
    aws.proxy
        .inject(Fault::when(|seen| seen.method == "GET", What::error(403, "AccessDenied", "no")));
    let error = Error::from(objects.get(&Path::from("a")).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    let long = What::error(400, "KeyTooLongError", "Your key is too long");
    aws.proxy.inject(Fault::when(|seen| seen.method == "PUT", long));
    let long = Path::from("k".repeat(1025));
    let error = Error::from(objects.put(&long, "x".into()).await.unwrap_err());
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::InvalidInput, Effect::None),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_whose_tags_are_closed_is_listed_but_never_taken_for_one_without() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let bucket = create(&*storage, &spec("shut")).await.unwrap();
    let no = || What::error(403, "AccessDenied", "an explicit deny");
    let by_name =
        ListQuery { name: Some(bucket.name.clone()), ..ListQuery::in_region(region(REGIONS[0])) };
    aws.proxy.inject(Fault::when(setting("GET", "tagging"), no()));
    let found = storage.list_buckets(&by_name).complete().await.unwrap().into_items();
    assert_eq!((found.len(), found[0].status), (1, ResourceStatus::Unknown));
    aws.proxy.inject(Fault::when(setting("GET", "tagging"), no()));
    let by_tag = ListQuery { tags: bucket.tags.clone(), ..by_name };
    let error = storage.list_buckets(&by_tag).complete().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.resource(), Some(&*bucket.id.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_emptied_of_all_that_it_holds() {
    for kind in [Kind::Moto, Kind::Ministack] {
        let Some(aws) = Aws::at(kind).await else { return };
        let storage = aws.cloud.aws_storage();
        let mut wanted = spec("full");
        wanted.versioning = true;
        let id = create(&*storage, &wanted).await.unwrap().id;
        let objects = storage.object_store(&id).await.unwrap();
        // More than one call deletes, with versions, markers and an upload that nobody ended.
        let put = |i: usize| {
            let objects = objects.clone();
            async move { objects.put(&Path::from(format!("many/{i:04}")), "x".into()).await }
        };
        stream::iter(0..1010).map(put).buffer_unordered(32).try_collect::<Vec<_>>().await.unwrap();
        for key in ["many/0001", "odd \u{1F980}&<key>", "many/0001"] {
            objects.put(&Path::parse(key).unwrap(), "again".into()).await.unwrap();
        }
        objects.delete(&Path::from("many/0002")).await.unwrap();
        let mut upload = objects.put_multipart(&Path::from("unfinished")).await.unwrap();
        upload.put_part(vec![0; 5 << 20].into()).await.unwrap();
        drop(upload);

        let error = storage.delete_bucket(&id, &DeleteOptions::default()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Conflict, Effect::None),
            "{error:?}"
        );
        let emptied = storage.delete_bucket(&id, &WITH_CONTENTS).await;
        assert!(emptied.is_ok_and(|deleted| deleted), "{}", aws.emulator.server().log());
        assert_eq!(storage.get_bucket(&id).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!storage.delete_bucket(&id, &WITH_CONTENTS).await.unwrap());
        let aborted = aws.proxy.count(|seen| {
            seen.method == "DELETE" && seen.query.contains("uploadId=") && seen.status() == 204
        });
        assert_eq!(aborted, 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_deleted_is_named() {
    let Some(aws) = Aws::at(Kind::Moto).await else { return };
    let storage = aws.cloud.aws_storage();
    let id = create(&*storage, &spec("locked")).await.unwrap().id;
    let objects = storage.object_store(&id).await.unwrap();
    objects.put(&Path::from("locked/1"), "x".into()).await.unwrap();
    let body = "<DeleteResult><Error><Key>locked/1</Key><VersionId>v1</VersionId><Code>AccessDenied</Code>\
        <Message>Access Denied because object protected by object lock.</Message></Error></DeleteResult>";
    let refused = What::answer(Reply::new(200, "application/xml", body));
    aws.proxy.inject(Fault::when(setting("POST", "delete"), refused));
    let error = storage.delete_bucket(&id, &WITH_CONTENTS).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!((error.effect(), error.retry()), (Effect::Unknown, Retry::Never));
    assert_eq!(error.code(), Some("AccessDenied"));
    for part in ["1 of 1 objects", "'locked/1' in version v1", "object lock"] {
        assert!(error.message().contains(part), "{error}");
    }
    // Nothing is lost, and the next time it works.
    assert_eq!(objects.get(&Path::from("locked/1")).await.unwrap().bytes().await.unwrap(), "x");
    assert!(storage.delete_bucket(&id, &WITH_CONTENTS).await.unwrap());
}
