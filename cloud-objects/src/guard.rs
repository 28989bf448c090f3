//! Keeps keys that [`Path`] cannot say out of listings.
//!
//! `object_store` fails a whole listing for a key like `a//b`, and strips the slash from `folder/`, so that two keys would be
//! one. The pages of a listing are looked through before it reads them: entries that it would fail on or change are cut
//! out and reported. A page without such keys, the usual case, is handed on as it came.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use cloud_core::RefusedKeys;
use memchr::memmem;
use object_store::path::Path;
use quick_xml::escape::unescape;

use crate::http::Dialect;

/// An element that names a key, and the element that is cut out if the key cannot be said.
struct Entry {
    element: &'static [u8],
    name: &'static [u8],
    /// A key that ends in the delimiter is right here, and only here.
    prefix: bool,
}

const S3: &[Entry] = &[
    Entry { element: b"Contents", name: b"Key", prefix: false },
    Entry { element: b"CommonPrefixes", name: b"Prefix", prefix: true },
];
const AZURE: &[Entry] = &[
    Entry { element: b"Blob", name: b"Name", prefix: false },
    Entry { element: b"BlobPrefix", name: b"Name", prefix: true },
];

/// The page without the entries that cannot be named; these go to `refused`.
///
/// # Errors
/// What is wrong with a page that is not XML as the stores write it.
pub(crate) fn filter(
    dialect: Dialect,
    page: Bytes,
    refused: &RefusedKeys,
) -> Result<Bytes, &'static str> {
    let entries = if dialect == Dialect::Azure { AZURE } else { S3 };
    let mut cuts = Vec::new();
    for entry in entries {
        find(&page, entry, refused, &mut cuts)?;
    }
    if cuts.is_empty() {
        return Ok(page);
    }
    cuts.sort_unstable_by_key(|cut: &Range<usize>| cut.start);
    let mut kept = Vec::with_capacity(page.len());
    let mut at = 0;
    for cut in cuts {
        kept.extend_from_slice(&page[at..cut.start]);
        at = cut.end;
    }
    kept.extend_from_slice(&page[at..]);
    Ok(kept.into())
}

/// Where the entries of one sort stand that cannot be named.
fn find(
    page: &[u8],
    entry: &Entry,
    refused: &RefusedKeys,
    cuts: &mut Vec<Range<usize>>,
) -> Result<(), &'static str> {
    let opening = [b"<", entry.element, b">"].concat();
    let closing = [b"</", entry.element, b">"].concat();
    let (opening, closing) = (memmem::Finder::new(&opening), memmem::Finder::new(&closing));
    let name_opening = [b"<", entry.name].concat();
    let name_closing = [b"</", entry.name, b">"].concat();
    let name_closing = memmem::Finder::new(&name_closing);

    let mut at = 0;
    while let Some(start) = opening.find(&page[at..]).map(|found| at + found) {
        let inner = start + 2 + entry.element.len();
        let name = memmem::find(&page[inner..], &name_opening).ok_or("an entry without a name")?;
        let name = inner + name + name_opening.len();
        let text =
            memchr::memchr(b'>', &page[name..]).ok_or("a name that does not end")? + name + 1;
        // `<Name Encoded="true">`: Azure's way to write what XML cannot, which `object_store` takes as it stands.
        let plain = text == name + 1;
        let empty = page[name..text].ends_with(b"/>");
        let text_end = match empty {
            true => text,
            false => text + name_closing.find(&page[text..]).ok_or("a name that does not end")?,
        };
        let end = closing.find(&page[text_end..]).ok_or("an entry that does not end")?;
        let end = text_end + end + closing.needle().len();
        let raw = &page[text..text_end];
        if (!plain || !is_clean(raw, entry.prefix))
            && let Some(key) = unsayable(raw, entry.prefix, plain)?
        {
            refused.add(key);
            cuts.push(start..end);
        }
        at = end;
    }
    Ok(())
}

/// Whether a key as it stands in the page is surely one that can be said: a quick look that may say no in vain.
fn is_clean(raw: &[u8], prefix: bool) -> bool {
    let raw = if prefix { raw.strip_suffix(b"/").unwrap_or(raw) } else { raw };
    // Of a segment: its first byte, and whether it may be empty, `.` or `..`.
    let mut odd = true;
    for &byte in raw {
        match byte {
            b'/' if odd => return false,
            b'/' => odd = true,
            b'.' if odd => {}
            0..b' ' | 0x7f | b'&' | b'<' => return false,
            _ => odd = false,
        }
    }
    !odd
}

/// The key, if `object_store` would fail on it or change it.
fn unsayable(raw: &[u8], prefix: bool, plain: bool) -> Result<Option<String>, &'static str> {
    let Ok(text) = std::str::from_utf8(raw) else {
        return Ok(Some(String::from_utf8_lossy(raw).into_owned()));
    };
    if !plain {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        return Ok(Some(decoded.into_owned()));
    }
    if text.contains('<') {
        return Err("a key with markup in it");
    }
    let key: Cow<'_, str> = unescape(text).map_err(|_| "a key with an unknown entity")?;
    let said = if prefix { key.strip_suffix('/').unwrap_or(&key) } else { &key };
    let same = Path::parse(&*key).is_ok_and(|path| path.as_ref() == said) && !said.is_empty();
    Ok((!same).then(|| key.into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(keys: &[String], prefixes: &[String]) -> Bytes {
        let mut page = String::from("<ListBucketResult><Prefix>a//b</Prefix>");
        for key in keys {
            let key = quick_xml::escape::escape(key);
            page += &format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        }
        for prefix in prefixes {
            let prefix = quick_xml::escape::escape(prefix);
            page += &format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
        }
        page += "<NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
        page.into()
    }

    fn keys(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_page_of_good_keys_is_the_same_bytes() {
        let good = keys(&["a", "a/b", "a b", "ü", " a ", " ", ".hidden", "a/..b", "a.", "x&y<z"]);
        let before = page(&good, &keys(&["a/", "b/c/"]));
        let refused = RefusedKeys::default();
        let after = filter(Dialect::S3, before.clone(), &refused).unwrap();
        assert_eq!((after.as_ptr(), after.len()), (before.as_ptr(), before.len()));
        assert_eq!(refused.take().count, 0);
    }

    #[test]
    fn what_cannot_be_said_is_cut_out_and_named() {
        let bad = ["/a", "a/", "a//b", "..", "a/./b", "", "/", "a\nb", "./a", "a\u{7f}"];
        let before = page(&keys(&["ok", bad[0], bad[1], bad[2], bad[3], bad[4], "ok2"]), &[]);
        let refused = RefusedKeys::default();
        let after = filter(Dialect::S3, before, &refused).unwrap();
        assert_eq!(after, page(&keys(&["ok", "ok2"]), &[]));
        assert_eq!(refused.take().keys, bad[..5]);
        filter(Dialect::S3, page(&keys(&bad[5..]), &keys(&["/", "a//", "b/"])), &refused).unwrap();
        let all = refused.take().keys;
        assert_eq!(all[..5], bad[5..]);
        assert_eq!(all[5..], ["/", "a//"]);
    }

    #[test]
    fn azure_names_what_xml_cannot() {
        let page = "<EnumerationResults><Blobs><Blob><Name>a</Name><Properties/></Blob>\
            <Blob><Name Encoded=\"true\">b%0C</Name><Properties/></Blob>\
            <BlobPrefix><Name>c//</Name></BlobPrefix></Blobs></EnumerationResults>";
        let refused = RefusedKeys::default();
        let after = filter(Dialect::Azure, page.into(), &refused).unwrap();
        assert_eq!(
            after,
            "<EnumerationResults><Blobs><Blob><Name>a</Name><Properties/></Blob></Blobs></EnumerationResults>"
        );
        assert_eq!(refused.take().keys, ["b\u{c}", "c//"]);
    }

    #[test]
    fn a_page_that_breaks_off_is_an_error() {
        for page in ["<Contents><Key>a//b", "<Contents>", "<Contents><Key>a</Key>"] {
            assert!(filter(Dialect::S3, page.into(), &RefusedKeys::default()).is_err());
        }
    }

    proptest! {
        #[test]
        fn exactly_the_keys_that_path_keeps_stay(
            all in prop::collection::vec("[a-c./&< \u{1}ü%]{0,6}", 0..20),
        ) {
            let refused = RefusedKeys::default();
            let after = filter(Dialect::S3, page(&all, &[]), &refused).unwrap();
            let sayable = |key: &&String| {
                !key.is_empty()
                    && Path::parse(key).is_ok_and(|path| path.as_ref() == **key)
            };
            let good: Vec<_> = all.iter().filter(sayable).cloned().collect();
            let bad: Vec<_> = all.iter().filter(|key| !sayable(key)).cloned().collect();
            prop_assert_eq!(after, page(&good, &[]));
            prop_assert_eq!(refused.take().keys, bad);
        }
    }
}
