//! What the EC2 families here share: filters, tags, ids, and creating once what EC2 takes no client token for.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_ec2::types::{self as sdk, Filter, ResourceType, Tag, TagSpecification};
use cloud_core::{
    Effect, Error, ErrorKind, ListQuery, Result, Retry, Tags, WaitOptions, wait_until,
};
use tokio::time::Instant;

pub(super) use crate::tags::{NAME_TAG as NAME, check_named};
use crate::{
    tags,
    tokens::{REQUEST_TAG, Request},
};

/// How long the other of two processes that made the same thing at once has to remove its own.
const RIVAL_LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// How long what another process makes has to stay to be taken for made.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn filter(name: impl Into<String>, value: impl Into<String>) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Finds whatever was made with the token of a create, for this spec or another: EC2 takes `*` in a value for anything, and
/// no token has one. The value itself is for servers that do not.
pub(super) fn made_with(request: &Request) -> Filter {
    let filter = Filter::builder().name(format!("tag:{REQUEST_TAG}")).values(request.tag());
    filter.values(format!("{}.*", request.token)).build()
}

/// What of a query EC2 can filter by itself. A value that its wildcards would change is left to the caller, who looks at each
/// item anyway.
pub(super) fn tag_filters(query: &ListQuery) -> Vec<Filter> {
    let plain = |text: &str| !text.is_empty() && !text.contains(['*', '?', '\\']);
    let narrowest = tags::narrowest(&query.tags).filter(|(key, value)| plain(key) && plain(value));
    narrowest.map(|(key, value)| filter(format!("tag:{key}"), value)).into_iter().collect()
}

/// Refuses what cannot be an id of EC2 (`vpc-0a1b2c3d`), so that nothing made up is sent.
pub(super) fn check_id(prefix: &str, id: &str) -> Result<()> {
    let rest = id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let good = rest.is_some_and(|rest| {
        (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    match good {
        true => Ok(()),
        false => {
            let shown: String = id.chars().take(80).collect();
            let problem = format!("is '{}'", shown.escape_debug());
            Err(Error::invalid("id", problem, format_args!("{prefix}-… as AWS gives it")))
        }
    }
}

/// The tags to create something with, in the same call: the name, the caller's, and the one that names the create.
pub(super) fn tag_specification(
    kind: ResourceType,
    name: &str,
    tags: &Tags,
    request: &Request,
) -> Result<TagSpecification> {
    let pairs = tags::for_named(name, tags, request)?.into_iter();
    let pairs = pairs.map(|(key, value)| Tag::builder().key(key).value(value).build());
    Ok(TagSpecification::builder().resource_type(kind).set_tags(Some(pairs.collect())).build())
}

/// What bears an id and tags.
pub(super) trait Tagged {
    fn native(&self) -> &str;
    fn pairs(&self) -> Vec<(&str, &str)>;

    /// What its name tag says; without one, its id.
    fn name(&self) -> String {
        let named = self.pairs().into_iter().find(|(key, value)| *key == NAME && !value.is_empty());
        named.map_or_else(|| self.native(), |(_, name)| name).to_owned()
    }

    /// Its tags but the name and ours.
    fn tags(&self) -> Tags {
        tags::read_named(self.pairs()).1
    }

    /// The tag that says which create made it.
    fn request(&self) -> Option<String> {
        let ours = self.pairs().into_iter().find(|(key, _)| *key == REQUEST_TAG);
        ours.map(|(_, value)| value.to_owned())
    }
}

macro_rules! tagged {
    ($($kind:ident: $id:ident;)*) => {$(
        impl Tagged for sdk::$kind {
            fn native(&self) -> &str {
                self.$id().unwrap_or_default()
            }
            fn pairs(&self) -> Vec<(&str, &str)> {
                let tags = self.tags().iter();
                tags.map(|tag| (tag.key().unwrap_or_default(), tag.value().unwrap_or_default())).collect()
            }
        }
    )*};
}

tagged! {
    Vpc: vpc_id;
    Subnet: subnet_id;
    SecurityGroup: group_id;
    VpcPeeringConnection: vpc_peering_connection_id;
    RouteTable: route_table_id;
    InternetGateway: internet_gateway_id;
    Address: allocation_id;
    NatGateway: nat_gateway_id;
    VpnGateway: vpn_gateway_id;
    CustomerGateway: customer_gateway_id;
    VpnConnection: vpn_connection_id;
    TransitGateway: transit_gateway_id;
    TransitGatewayVpcAttachment: transit_gateway_attachment_id;
}

/// Of what was found, what this create made, in the order of the ids.
///
/// # Errors
/// [`ErrorKind::Conflict`] if its token made something for another spec.
fn ours<T: Tagged>(request: &Request, found: Vec<T>) -> Result<Vec<T>> {
    let mut ours = Vec::new();
    for item in found {
        if request.made(item.request().as_deref())? {
            ours.push(item);
        }
    }
    ours.sort_by(|a, b| a.native().cmp(b.native()));
    Ok(ours)
}

/// What a create made, now or earlier.
pub(super) struct Made<T> {
    pub(super) item: T,
    /// Whether this very call made it: only then may it be undone when a later step fails.
    pub(super) fresh: bool,
}

/// The ids of what this process has made and will not give up again, the latest thousand.
#[derive(Debug, Default)]
pub(super) struct Settled(Mutex<VecDeque<String>>);

impl Settled {
    fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|settled| settled == id)
    }

    fn add(&self, id: &str) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= 1000 {
            ids.pop_front();
        }
        ids.push_back(id.to_owned());
    }
}

/// What this create made earlier. What another process has made only just now may still give way to a rival, so it is looked
/// at twice, unless this process knows it; of several that stay, the one with the smallest id is taken.
async fn made_earlier<T, F, Found>(
    settled: &Settled,
    request: &Request,
    find: &F,
) -> Result<Option<T>>
where
    T: Tagged,
    F: Fn() -> Found,
    Found: Future<Output = Result<Vec<T>>>,
{
    let mut alone: Option<String> = None;
    let deadline = Instant::now() + RIVAL_LEAVES_WITHIN + 3 * SETTLES_WITHIN;
    loop {
        let mut there = ours(request, find().await?)?;
        let Some(first) = there.first().map(|first| first.native().to_owned()) else {
            return Ok(None);
        };
        let known = settled.has(&first) || alone.as_ref() == Some(&first);
        if (there.len() == 1 && known) || Instant::now() >= deadline {
            settled.add(&first);
            return Ok(Some(there.swap_remove(0)));
        }
        alone = (there.len() == 1).then_some(first);
        tokio::time::sleep(SETTLES_WITHIN).await;
    }
}

/// Creates what EC2 takes no token for: looked up by its request tag before, and after, as another process may have looked
/// before this one's was to be seen. Of two that made it at once the one with the smaller id wins: the other removes its own
/// and takes what remains. A rival that stays was made by a process that saw no other and has returned it: then it wins.
///
/// `find` gives what lives and bears a tag of this token.
pub(super) async fn create_once<T, F, Found, Make, Discard, Discarded>(
    settled: &Settled,
    request: &Request,
    find: F,
    make: Make,
    discard: Discard,
) -> Result<Made<T>>
where
    T: Tagged,
    F: Fn() -> Found,
    Found: Future<Output = Result<Vec<T>>>,
    Make: Future<Output = Result<T>>,
    Discard: FnOnce(T) -> Discarded,
    Discarded: Future<Output = Result<()>>,
{
    if let Some(item) = made_earlier(settled, request, &find).await? {
        return Ok(Made { item, fresh: false });
    }
    let made = make.await?;
    let rivals = async || {
        let mut rivals = ours(request, find().await?)?;
        rivals.retain(|rival| rival.native() != made.native());
        Ok::<_, Error>(rivals)
    };
    let Some(first) = rivals().await.map_err(may_have)?.into_iter().next() else {
        settled.add(made.native());
        return Ok(Made { item: made, fresh: true });
    };
    if made.native() < first.native() {
        let patience = WaitOptions { deadline: RIVAL_LEAVES_WITHIN, ..WaitOptions::default() };
        let left = wait_until("the other create to give way", &patience, || async {
            Ok(rivals().await?.is_empty().then_some(()))
        });
        match left.await {
            Ok(()) => {
                settled.add(made.native());
                return Ok(Made { item: made, fresh: true });
            }
            Err(error) if error.kind() == ErrorKind::Timeout => {}
            Err(error) => return Err(may_have(error)),
        }
    }
    discard(made).await.map_err(may_have)?;
    // Not simply the rival: that may have to give way itself, to a third.
    match made_earlier(settled, request, &find).await.map_err(may_have)? {
        Some(item) => Ok(Made { item, fresh: false }),
        None => {
            let message = "others made the same at the same time, and all gave way";
            Err(may_have(Error::new(ErrorKind::Conflict, message)).with_retry(Retry::Backoff))
        }
    }
}

/// An error after a step that had its effect.
pub(super) fn may_have(error: Error) -> Error {
    error.with_effect(Effect::Unknown)
}

/// The error of a create of which a later step failed. If that surely did nothing and this call made what came before, that is
/// removed again; else it is left for the repeated create to complete.
pub(super) async fn undo(
    error: Error,
    fresh: bool,
    back: impl Future<Output = Result<()>>,
) -> Error {
    if !fresh || error.effect() != Effect::None {
        return may_have(error);
    }
    match back.await {
        Ok(()) => error,
        Err(left) => {
            let hint = format!("what was made before could not be removed again: {left}");
            may_have(error).with_hint(hint)
        }
    }
}

/// The answer of a delete: `true`, or `false` if there was nothing.
pub(super) fn deleted(answer: Result<()>) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What was found, or nothing where AWS says that there is none.
pub(super) fn found<T>(answer: Result<Vec<T>>) -> Result<Vec<T>> {
    match answer {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

/// The one of a list that should have one.
pub(super) fn one<T>(items: Vec<T>, what: &str, id: &str) -> Result<T> {
    items.into_iter().next().ok_or_else(|| Error::not_found(format_args!("{what} {id}")))
}

#[cfg(test)]
mod tests {
    use cloud_core::{ClientToken, ResourceKind};

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing(String, String);

    impl Tagged for Thing {
        fn native(&self) -> &str {
            &self.0
        }
        fn pairs(&self) -> Vec<(&str, &str)> {
            vec![(REQUEST_TAG, &self.1), (NAME, "n"), ("team", "orders")]
        }
    }

    /// A server on which another process makes a thing right after ours, and removes it so many looks later, if ever.
    async fn race(own: &str, rival: &str, leaves_after: usize) -> (String, bool, Vec<String>) {
        let request = Request::new(ResourceKind::Network, &"s", &ClientToken::random()).unwrap();
        let there: Mutex<Vec<Thing>> = Mutex::default();
        let looks = Mutex::new(0);
        let settled = Settled::default();
        let made = create_once(
            &settled,
            &request,
            || async {
                let mut looks = looks.lock().unwrap();
                *looks += 1;
                if *looks > leaves_after {
                    there.lock().unwrap().retain(|thing| thing.0 != rival);
                }
                Ok(there.lock().unwrap().clone())
            },
            async {
                let own = Thing(own.into(), request.tag());
                let both = [own.clone(), Thing(rival.into(), request.tag())];
                there.lock().unwrap().extend(both);
                Ok(own)
            },
            |own| {
                there.lock().unwrap().retain(|thing| *thing != own);
                async { Ok(()) }
            },
        );
        let made = made.await.unwrap();
        let left = there.lock().unwrap().iter().map(|thing| thing.0.clone()).collect();
        (made.item.0, made.fresh, left)
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_creates_at_once_one_remains() {
        // The larger id gives way at once.
        assert_eq!(race("b", "a", usize::MAX).await, ("a".into(), false, vec!["a".into()]));
        // The smaller one waits for the other to give way.
        assert_eq!(race("a", "b", 3).await, ("a".into(), true, vec!["a".into()]));
        // One that does not was returned by its process already.
        assert_eq!(race("a", "b", usize::MAX).await, ("b".into(), false, vec!["b".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_is_not_made_again_and_another_spec_is_refused() {
        let token = ClientToken::random();
        let request = Request::new(ResourceKind::Network, &"s", &token).unwrap();
        let other = Request::new(ResourceKind::Network, &"t", &token).unwrap();
        let (there, settled) = (Thing("a".into(), request.tag()), Settled::default());
        let create = async |request: &Request| {
            let find = || async { Ok(vec![there.clone()]) };
            let made = async { panic!("made again") };
            create_once(&settled, request, find, made, |_| async { Ok(()) }).await
        };
        let start = Instant::now();
        let made = create(&request).await.unwrap();
        assert!(!made.fresh && made.item == there);
        // Once it has stayed, it is known.
        assert_eq!(start.elapsed(), SETTLES_WITHIN);
        create(&request).await.unwrap();
        assert_eq!(start.elapsed(), SETTLES_WITHIN);
        assert_eq!(create(&other).await.err().unwrap().kind(), ErrorKind::Conflict);
        assert_eq!(there.tags(), Tags::new([("team", "orders")]).unwrap());
        assert_eq!(there.name(), "n");
    }

    #[tokio::test(start_paused = true)]
    async fn what_gives_way_is_not_taken() {
        let request = Request::new(ResourceKind::Network, &"s", &ClientToken::random()).unwrap();
        let thing = |id: &str| Thing(id.into(), request.tag());
        let looks = Mutex::new(VecDeque::from([vec![thing("b")], vec![thing("a"), thing("b")]]));
        let find = || async {
            let now = looks.lock().unwrap().pop_front();
            Ok(now.unwrap_or_else(|| vec![thing("a")]))
        };
        let taken = made_earlier(&Settled::default(), &request, &find).await.unwrap();
        assert_eq!(taken.unwrap().0, "a");
        // Two that both stay: whoever looks takes the same.
        let both = || async { Ok(vec![thing("b"), thing("a")]) };
        let taken = made_earlier(&Settled::default(), &request, &both).await.unwrap();
        assert_eq!(taken.unwrap().0, "a");
    }

    #[tokio::test]
    async fn only_what_this_call_made_is_undone() {
        let refused = || Error::new(ErrorKind::QuotaExceeded, "full");
        let never = async { panic!("undone") };
        assert_eq!(undo(refused(), false, never).await.effect(), Effect::Unknown);
        let lost = Error::new(ErrorKind::Timeout, "no answer");
        assert_eq!(undo(lost, true, async { panic!("undone") }).await.effect(), Effect::Unknown);
        assert_eq!(undo(refused(), true, async { Ok(()) }).await.effect(), Effect::None);
        assert_eq!(undo(refused(), true, async { Err(refused()) }).await.effect(), Effect::Unknown);
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        for id in ["../..", "vpc-", "vpc-a/b", "igw-1", "vpc-größe", "", &"x".repeat(2048)] {
            assert!(check_id("vpc", id).is_err(), "{id}");
        }
        assert!(check_id("vpc", "vpc-0a1b2c3d4e5f").is_ok());
    }

    #[test]
    fn a_filter_has_no_wildcards_of_the_caller() {
        let query = |value: &str| ListQuery::tagged(Tags::new([("k", value)]).unwrap());
        assert_eq!(tag_filters(&query("v")).len(), 1);
        assert!(tag_filters(&query("v*")).is_empty() && tag_filters(&query("")).is_empty());
    }
}
