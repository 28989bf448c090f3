use proptest::prelude::*;

use super::*;

fn a_tag() -> impl Strategy<Value = Tag> {
    prop_oneof![
        Just(Tag::None),
        any::<[u8; 16]>().prop_map(Tag::Md5),
        ".{0,20}".prop_map(|text| Tag::Content(text.into())),
        ".{0,20}".prop_map(|text| Tag::Opaque(text.into())),
    ]
}

fn a_time() -> impl Strategy<Value = Timestamp> {
    let all = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
    let near = 1_700_000_000_000_000_000..1_700_000_001_000_000_000_i128;
    prop_oneof![all, near].prop_map(|nanos| Timestamp::from_nanosecond(nanos).unwrap())
}

fn a_seen() -> impl Strategy<Value = Seen> {
    (prop_oneof![any::<u64>(), 0..300u64], a_time(), a_tag())
        .prop_map(|(size, modified, tag)| Seen { size, modified, tag })
}

fn entries() -> impl Strategy<Value = Vec<Agreed>> {
    let key = prop_oneof!["(a/){0,3}[a-cé]{0,3}", ".{0,30}"];
    let sides = (a_seen(), a_seen(), any::<bool>()).prop_map(|(source, target, same)| {
        if same { (source.clone(), source) } else { (source, target) }
    });
    prop::collection::btree_map(key, sides, 0..40).prop_map(|entries| {
        let entries = entries.into_iter();
        entries.map(|(key, (source, target))| Agreed { key: key.into(), source, target }).collect()
    })
}

/// A block around any entries, with the right checksum.
fn wrap(raw: &[u8]) -> Vec<u8> {
    let frame = zstd::bulk::compress(raw, ZSTD_LEVEL).unwrap();
    [&[VERSION][..], &crc(&frame).to_le_bytes(), &frame].concat()
}

fn entry(key: &str, tag: Tag) -> Agreed {
    let seen = Seen { size: 1, modified: Timestamp::UNIX_EPOCH, tag };
    Agreed { key: key.into(), source: seen.clone(), target: seen }
}

fn is_corrupt(block: &[u8]) -> bool {
    decode(block).is_err_and(|error| error.kind() == ErrorKind::Corrupt)
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in entries()) {
        prop_assert_eq!(decode(&encode(&entries).unwrap()).unwrap(), entries);
    }

    #[test]
    fn any_change_is_seen(entries in entries(), at: prop::sample::Index, bits in 1..=255u8) {
        let mut block = encode(&entries).unwrap();
        let at = at.index(block.len());
        block[at] ^= bits;
        prop_assert!(is_corrupt(&block));
        block[at] ^= bits;
        prop_assert!(is_corrupt(&block[..at]));
        block.push(bits);
        prop_assert!(is_corrupt(&block));
    }

    #[test]
    fn arbitrary_bytes_are_corrupt(bytes: Vec<u8>) {
        prop_assert!(is_corrupt(&bytes));
    }

    /// What has the right checksum is read to the end or refused, and what is read can be written again.
    #[test]
    fn arbitrary_entries_do_not_panic(bytes in prop::collection::vec(prop_oneof![0..40u8, any::<u8>()], 0..200)) {
        if let Ok(entries) = decode(&wrap(&bytes)) {
            prop_assert_eq!(decode(&encode(&entries).unwrap()).unwrap(), entries);
        }
    }

    #[test]
    fn changed_entries_do_not_panic(entries in entries(), at: prop::sample::Index, to: u8) {
        let mut raw = Vec::new();
        let mut before = None;
        for entry in &entries {
            write_entry(&mut raw, before, entry).unwrap();
            before = Some(entry);
        }
        if !raw.is_empty() {
            let at = at.index(raw.len());
            raw[at] = to;
        }
        if let Ok(entries) = decode(&wrap(&raw)) {
            prop_assert_eq!(decode(&encode(&entries).unwrap()).unwrap(), entries);
        }
    }

    #[test]
    fn numbers_are_read_as_written(value: u64, signed: i64) {
        let mut raw = Vec::new();
        write_varint(&mut raw, value);
        write_zigzag(&mut raw, signed);
        let mut reader = Reader(&raw);
        prop_assert_eq!((reader.varint(), reader.zigzag()), (Some(value), Some(signed)));
        prop_assert!(reader.0.is_empty());
    }
}

#[test]
fn numbers_end() {
    assert_eq!(Reader(&[0xff; 9]).varint(), None);
    assert_eq!(Reader(&[0xff; 20]).varint(), None);
    let over = [[0xff; 9].as_slice(), &[2]].concat();
    assert_eq!(Reader(&over).varint(), None);
}

#[test]
fn what_no_block_holds_is_refused() {
    let long = "k".repeat(MAX_TEXT_BYTES + 1);
    let many: Vec<Agreed> =
        (0..=MAX_BLOCK_ENTRIES).map(|n| entry(&format!("{n:08}"), Tag::None)).collect();
    for entries in [
        vec![entry("b", Tag::None), entry("a", Tag::None)],
        vec![entry("a", Tag::None), entry("a", Tag::None)],
        vec![entry(&long, Tag::None)],
        vec![entry("a", Tag::Opaque(long.as_str().into()))],
        many.clone(),
    ] {
        assert_eq!(encode(&entries).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(
        decode(&encode(&many[..MAX_BLOCK_ENTRIES]).unwrap()).unwrap().len(),
        MAX_BLOCK_ENTRIES
    );
}

#[test]
fn a_bomb_does_not_go_off() {
    assert!(is_corrupt(&wrap(&vec![0; MAX_RAW_BYTES + 1])));
    // A key that is short as written, and longer than any with what it shares.
    let mut raw = Vec::new();
    write_entry(&mut raw, None, &entry(&"k".repeat(MAX_TEXT_BYTES), Tag::None)).unwrap();
    write_varint(&mut raw, MAX_TEXT_BYTES as u64);
    raw.extend([1, b'k', 0, 0, 0, 0, 0, 0]);
    assert!(is_corrupt(&wrap(&raw)));
}

#[test]
fn a_key_shares_no_more_than_there_is() {
    // Shares one byte with nothing; then an empty key, flags, size, times.
    assert!(is_corrupt(&wrap(&[1, 0, SAME_TAG | SAME_SIZE, 0, 0, 0, 0, 0])));
    assert_eq!(decode(&wrap(&[0, 0, SAME_TAG | SAME_SIZE, 0, 0, 0, 0, 0])).unwrap().len(), 1);
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut block = encode(&[]).unwrap();
    block[0] = 2;
    assert!(decode(&block).unwrap_err().to_string().contains("is of version 2, not 1"));
}
