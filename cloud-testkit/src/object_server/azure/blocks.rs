//! Azure blocks: staged one by one, made a blob by a list.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};

use super::CREATED;
use super::blobs::{copy_source, kept_headers, new_blob, store, tags_of, written};
use crate::object_server::Shared;
use crate::object_server::checksum::{self, decode_md5};
use crate::object_server::content::Content;
use crate::object_server::payload::{Payload, collect};
use crate::object_server::refusal::Refusal;
use crate::object_server::reply::{self, Reply};
use crate::object_server::request::Call;
use crate::object_server::store::lock;
use crate::object_server::{range, xml};

/// Put Block and Put Block From URL.
pub(super) async fn put(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let id =
        call.query.get("blockid").filter(|id| !id.is_empty()).ok_or(Refusal::Invalid("blockid"))?;
    let mut reply = reply::empty(CREATED);
    let block = if call.headers.contains_key("x-ms-copy-source") {
        let source = copy_source(shared, call)?;
        let wanted = range::select(call.header("x-ms-source-range"), source.size())?;
        source.content.slice(wanted.unwrap_or(0..source.size())).to_bytes()
    } else {
        let payload = Payload::receive(call, body, shared.options.trust_content_md5).await?;
        // The service answers with the MD5 of a block only if it was given one.
        if call.header("content-md5").is_some() {
            let value = HeaderValue::try_from(checksum::encode(&payload.md5()));
            reply
                .headers_mut()
                .extend(value.map(|value| (HeaderName::from_static("content-md5"), value)));
        }
        payload.bytes
    };
    lock(&bucket.blocks).entry(call.key.to_string()).or_default().insert(id.to_owned(), block);
    Ok(reply)
}

/// Put Block List: the listed blocks become the blob; staged blocks that are not listed are dropped.
pub(super) async fn commit(
    shared: &Shared,
    call: &Call<'_>,
    body: Incoming,
) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let request = xml::parse(&collect(body).await?)?;
    let staged = lock(&bucket.blocks).get(call.key.as_ref()).cloned().unwrap_or_default();
    let committed = bucket.get(&call.key).map(|blob| blob.blocks.clone()).unwrap_or_default();
    let mut content = Content::default();
    let mut blocks = Vec::new();
    for listed in &request.children {
        let block = chosen(listed, &staged, &committed)?;
        content.push(block.clone());
        blocks.push((listed.text.trim().to_owned(), block));
    }
    let mut blob = new_blob(shared, content);
    blob.blocks = blocks;
    blob.headers = kept_headers(call.headers);
    blob.tags = tags_of(call)?;
    // Kept as given: the service does not check it against the blocks.
    blob.md5 = call.header("x-ms-blob-content-md5").map(decode_md5).transpose()?;
    let stored = store(shared, &bucket, call, blob)?;
    lock(&bucket.blocks).remove(call.key.as_ref());
    Ok(written(&stored, CREATED))
}

fn chosen(
    listed: &xml::Element,
    staged: &HashMap<String, Bytes>,
    committed: &[(String, Bytes)],
) -> Result<Bytes, Refusal> {
    let id = listed.text.trim();
    let staged = staged.get(id);
    let committed = committed.iter().find(|(known, _)| known == id).map(|(_, block)| block);
    match listed.name.as_str() {
        "Latest" => staged.or(committed),
        "Uncommitted" => staged,
        "Committed" => committed,
        _ => return Err(Refusal::Malformed),
    }
    .cloned()
    .ok_or(Refusal::InvalidBlocks)
}

/// Get Block List.
pub(super) fn list(shared: &Shared, call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = shared.store.bucket(&call.bucket)?;
    let staged = lock(&bucket.blocks).get(call.key.as_ref()).cloned();
    let blob = bucket.get(&call.key);
    if staged.is_none() {
        blob.as_ref().map_err(|refusal| *refusal)?;
    }
    let wanted = call.query.get("blocklisttype").unwrap_or("committed");
    let mut text = format!("{}<BlockList>", xml::HEAD);
    let mut push = |kind: &str, blocks: &mut dyn Iterator<Item = (&str, usize)>| {
        text.push_str(&format!("<{kind}>"));
        for (id, size) in blocks {
            text.push_str("<Block>");
            xml::push_element(&mut text, "Name", id);
            xml::push_element(&mut text, "Size", &size.to_string());
            text.push_str("</Block>");
        }
        text.push_str(&format!("</{kind}>"));
    };
    if matches!(wanted, "committed" | "all") {
        let blocks = blob.iter().flat_map(|blob| &blob.blocks);
        push("CommittedBlocks", &mut blocks.map(|(id, block)| (id.as_str(), block.len())));
    }
    if matches!(wanted, "uncommitted" | "all") {
        let blocks = staged.iter().flatten();
        push("UncommittedBlocks", &mut blocks.map(|(id, block)| (id.as_str(), block.len())));
    }
    text.push_str("</BlockList>");
    Ok(reply::xml(StatusCode::OK, text))
}
