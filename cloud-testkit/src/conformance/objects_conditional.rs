//! Conditional writes, concurrent writers, and uploads in parts.

use cloud_core::ErrorKind;
use futures::{TryStreamExt, future::join_all};
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
    path::Path,
};

use super::{
    Context, Failure, Trial, ensure,
    objects::{bucket, kind_of, read, storage},
    trial_list,
};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "objects.put_if_absent": "put only if absent succeeds once, also among 8 at once", |can| storage(can, |s| s.put_if_absent) => put_if_absent;
        "objects.put_if_match": "put only if unchanged fails once it was changed", |can| storage(can, |s| s.put_if_match) => put_if_match;
        "objects.one_winner": "of 8 writers that saw the same version exactly one wins, in each of 5 rounds", |can| storage(can, |s| s.put_if_match) => one_winner;
        "objects.copy_if_absent": "copy only if absent leaves what is there", |can| storage(can, |s| s.copy_if_absent) => copy_if_absent;
        "objects.concurrent_writers": "of many writers of one object the last state is one of them, whole", |can| can.storage.is_some() => concurrent;
        "objects.multipart": "an upload in parts is seen once it is completed, its parts in order", |can| can.storage.is_some() => multipart;
        "objects.multipart_abort": "an aborted or abandoned upload leaves nothing to be seen, and what was there stays", |can| can.storage.is_some() => multipart_abort;
    }
}

fn only(mode: PutMode) -> PutOptions {
    PutOptions { mode, ..PutOptions::default() }
}

async fn put_if_absent(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("once");
    objects.put_opts(&key, "first".into(), only(PutMode::Create)).await?;
    let kind = kind_of(objects.put_opts(&key, "second".into(), only(PutMode::Create)).await);
    ensure!(
        kind == Some(ErrorKind::AlreadyExists),
        "a second put answers {kind:?}, not AlreadyExists"
    );
    ensure!(read(&*objects, &key).await? == "first", "the refused put had an effect");
    let key = Path::from("race");
    let race = (0..8).map(|i| {
        let (objects, key) = (objects.clone(), key.clone());
        tokio::spawn(async move {
            objects.put_opts(&key, i.to_string().into(), only(PutMode::Create)).await.map(|_| i)
        })
    });
    let winners: Vec<i32> = join_all(race).await.into_iter().flatten().flatten().collect();
    ensure!(winners.len() == 1, "{winners:?} of 8 writers succeeded");
    let now = read(&*objects, &key).await?;
    ensure!(now == winners[0].to_string(), "{winners:?} won, but {now:?} is there");
    Ok(())
}

async fn put_if_match(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("counter");
    let first: UpdateVersion = objects.put(&key, "1".into()).await?.into();
    ensure!(
        first.e_tag.is_some() || first.version.is_some(),
        "a put answers neither ETag nor version"
    );
    objects.put_opts(&key, "2".into(), only(PutMode::Update(first.clone()))).await?;
    let kind =
        kind_of(objects.put_opts(&key, "3".into(), only(PutMode::Update(first.clone()))).await);
    ensure!(
        kind == Some(ErrorKind::PreconditionFailed),
        "an outdated put answers {kind:?}, not PreconditionFailed"
    );
    ensure!(read(&*objects, &key).await? == "2", "the refused put had an effect");
    let kind = kind_of(
        objects.put_opts(&Path::from("absent"), "x".into(), only(PutMode::Update(first))).await,
    );
    let refused = [Some(ErrorKind::PreconditionFailed), Some(ErrorKind::NotFound)].contains(&kind);
    ensure!(refused, "an update of what is not there answers {kind:?}");
    Ok(())
}

async fn one_winner(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("contested");
    objects.put(&key, "start".into()).await?;
    for round in 0..5 {
        let head = objects.head(&key).await?;
        let seen = UpdateVersion { e_tag: head.e_tag, version: head.version };
        let race = (0..8).map(|i| {
            let (objects, key, seen) = (objects.clone(), key.clone(), seen.clone());
            tokio::spawn(async move {
                let put = objects.put_opts(
                    &key,
                    format!("{round}/{i}").into(),
                    only(PutMode::Update(seen)),
                );
                put.await.map(|_| i)
            })
        });
        let winners: Vec<i32> = join_all(race).await.into_iter().flatten().flatten().collect();
        ensure!(winners.len() == 1, "in round {round}, {winners:?} of 8 writers succeeded");
        let now = read(&*objects, &key).await?;
        ensure!(
            now == format!("{round}/{}", winners[0]),
            "{winners:?} won round {round}, but {now:?} is there"
        );
    }
    Ok(())
}

async fn copy_if_absent(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let (from, to) = (Path::from("from"), Path::from("to"));
    objects.put(&from, "new".into()).await?;
    objects.copy_if_not_exists(&from, &to).await?;
    ensure!(read(&*objects, &to).await? == "new", "the copy reads otherwise");
    objects.put(&to, "kept".into()).await?;
    let kind = kind_of(objects.copy_if_not_exists(&from, &to).await);
    ensure!(
        kind == Some(ErrorKind::AlreadyExists),
        "a second copy answers {kind:?}, not AlreadyExists"
    );
    ensure!(read(&*objects, &to).await? == "kept", "the refused copy had an effect");
    Ok(())
}

async fn concurrent(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("shared");
    // Each writer's object is of its letter throughout, and of its own length.
    let writers = (0..16u8).map(|i| {
        let (objects, key) = (objects.clone(), key.clone());
        tokio::spawn(async move {
            objects.put(&key, vec![b'a' + i; 40_000 + usize::from(i)].into()).await
        })
    });
    for written in join_all(writers).await {
        written.map_err(|e| Failure::new(format!("a writer died: {e}")))??;
    }
    let got = read(&*objects, &key).await?;
    let letter = got.first().copied().unwrap_or(0);
    let whole = got.iter().all(|byte| *byte == letter)
        && got.len() == 40_000 + usize::from(letter.wrapping_sub(b'a'));
    ensure!(whole, "{} bytes are there, and not those of one writer", got.len());
    let listed: Vec<_> = objects.list(None).try_collect().await?;
    ensure!(listed.len() == 1, "the writers left {listed:?}");
    Ok(())
}

/// The least that a part but the last may have at any provider.
const PART: usize = 5 << 20;

async fn multipart(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("large");
    let mut upload = objects.put_multipart(&key).await?;
    let parts: Vec<_> = (0..4u8).map(|i| vec![i; if i == 3 { 1000 } else { PART }]).collect();
    let sent = parts
        .iter()
        .map(|part| upload.put_part(PutPayload::from(part.clone())))
        .collect::<Vec<_>>();
    // The last begins first: the order of the parts is that of the calls, not of their arrival.
    for part in sent.into_iter().rev() {
        part.await?;
    }
    let kind = kind_of(objects.head(&key).await);
    ensure!(kind == Some(ErrorKind::NotFound), "an upload that is not completed answers {kind:?}");
    upload.complete().await?;
    let got = read(&*objects, &key).await?;
    ensure!(got == parts.concat(), "{} bytes come back, and not the parts in order", got.len());
    Ok(())
}

async fn multipart_abort(context: &Context<'_>) -> Result<(), Failure> {
    let (_, objects) = bucket(context, "a", false).await?;
    let key = Path::from("large");
    let mut upload = objects.put_multipart(&key).await?;
    upload.put_part(vec![1; PART].into()).await?;
    upload.abort().await?;
    let mut abandoned = objects.put_multipart(&key).await?;
    abandoned.put_part(vec![1; PART].into()).await?;
    drop(abandoned);
    let listed: Vec<_> = objects.list(None).try_collect().await?;
    ensure!(listed.is_empty(), "aborted uploads left {listed:?}");
    objects.put(&key, "before".into()).await?;
    let mut upload = objects.put_multipart(&key).await?;
    upload.put_part(vec![1; PART].into()).await?;
    upload.abort().await?;
    ensure!(read(&*objects, &key).await? == "before", "an aborted upload changed what was there");
    Ok(())
}
