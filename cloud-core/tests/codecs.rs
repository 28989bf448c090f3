//! Properties of everything that is written as text and read back, and of what is refused.
#![allow(clippy::unwrap_used, missing_docs)]

use cloud_core::{
    ByteSize, ClientToken, CloudId, InstanceSpec, NetworkSpec, Ownership, Region, ResourceId,
    ResourceKind, SubnetSpec, Tags, overlaps, text::check_name,
};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = ResourceKind> {
    proptest::sample::select(ResourceKind::ALL.to_vec())
}

fn blocks() -> impl Strategy<Value = IpNet> {
    (any::<u32>(), 0u8..=32).prop_map(|(address, length)| {
        IpNet::V4(Ipv4Net::new(address.into(), length).unwrap().trunc())
    })
}

proptest! {
    #[test]
    fn sizes_read_back_to_the_byte(bytes in any::<u64>()) {
        let size = ByteSize::from_bytes(bytes);
        prop_assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        let json = serde_json::to_string(&size).unwrap();
        prop_assert_eq!(serde_json::from_str::<ByteSize>(&json).unwrap(), size);
    }

    #[test]
    fn sizes_never_panic_and_never_wrap(text in "[-+]?[0-9]{0,25}(\\.[0-9]{0,5})? ?([KMGTPE]i?)?B?|\\PC{0,20}") {
        if let Ok(size) = text.parse::<ByteSize>() {
            prop_assert!(!text.trim_start().starts_with('-') || size.bytes() == 0, "{} became {}", text, size);
        }
    }

    #[test]
    fn ids_read_back(kind in kinds(), region in "[a-z0-9][a-z0-9-]{0,20}", native in "[^\\p{Cc}]{1,80}") {
        let id = ResourceId::new(kind, Region::new(region).unwrap(), native).unwrap();
        prop_assert_eq!(id.to_string().parse::<ResourceId>().unwrap(), id.clone());
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(serde_json::from_str::<ResourceId>(&json).unwrap(), id);
    }

    #[test]
    fn ids_never_panic(text in "\\PC{0,60}") {
        let _ = text.parse::<ResourceId>();
        let _ = CloudId::new(&text);
    }

    #[test]
    fn an_accepted_name_stays_in_its_folder(name in "(\\.{1,3}|/|\\\\|[a-zé]|\\x00|\\n){0,12}") {
        if check_name("name", &name).is_ok() {
            let path = std::path::Path::new("/folder").join(&name);
            prop_assert_eq!(path.parent(), Some(std::path::Path::new("/folder")));
            prop_assert_eq!(path.file_name().unwrap().to_str(), Some(name.as_str()));
        }
    }

    #[test]
    fn tokens_of_different_steps_differ(
        a in ("[a-z/:0-9]{1,8}", "[a-z/:0-9]{1,8}", 0u32..20),
        b in ("[a-z/:0-9]{1,8}", "[a-z/:0-9]{1,8}", 0u32..20),
    ) {
        let token = |(plan, step, generation): &(String, String, u32)| ClientToken::derive(plan, step, *generation);
        prop_assert_eq!(a == b, token(&a) == token(&b));
    }

    #[test]
    fn ownership_reads_back_beside_other_tags(
        deployment in "[a-z0-9_-]{1,63}",
        step in "[a-z0-9_-]{1,63}",
        other in proptest::collection::btree_map("[a-z]{1,10}", "[a-z]{0,10}", 0..40),
    ) {
        let mine = Ownership::new(deployment, step, ClientToken::random()).unwrap();
        let mut tags = Tags::new(other).unwrap();
        let before = tags.len();
        mine.write(&mut tags).unwrap();
        prop_assert_eq!(tags.len(), before + 3);
        prop_assert!(tags.contains(&Ownership::filter_token(&mine.token)));
        prop_assert_eq!(Ownership::read(&tags), Some(mine));
    }

    #[test]
    fn overlap_is_symmetric_and_what_the_addresses_say(a in blocks(), b in blocks()) {
        let common = a.network() <= b.broadcast() && b.network() <= a.broadcast();
        prop_assert_eq!(overlaps(&a, &b), common);
        prop_assert_eq!(overlaps(&b, &a), common);
    }

    #[test]
    fn accepted_subnets_lie_within_and_apart(network in blocks(), subnets in proptest::collection::vec(blocks(), 0..4)) {
        let mut spec = NetworkSpec::new("n", Region::new("r").unwrap(), network);
        spec.subnets = subnets.iter().enumerate().map(|(i, s)| SubnetSpec::new(format!("s{i}"), *s)).collect();
        let good = subnets.iter().all(|s| network.contains(s))
            && subnets.iter().enumerate().all(|(i, a)| subnets[..i].iter().all(|b| !overlaps(a, b)));
        prop_assert_eq!(spec.validate().is_ok(), good);
    }
}

#[test]
fn a_spec_refuses_what_it_does_not_know() {
    let known = r#"{"name": "web", "region": "eu-1"}"#;
    assert!(serde_json::from_str::<InstanceSpec>(known).unwrap().validate().is_ok());
    let typo = r#"{"name": "web", "region": "eu-1", "enviroment": {}}"#;
    let error = serde_json::from_str::<InstanceSpec>(typo).unwrap_err().to_string();
    assert!(error.contains("enviroment") && error.contains("environment"), "{error}");
}
