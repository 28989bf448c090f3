//! Client tokens: what a token was used for is written on what it made, and remembered while this account is open.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use cloud_core::{ClientToken, Effect, Error, ErrorKind, ResourceKind, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Key of the tag that says by which create a resource was made. It is not shown among a resource's tags.
pub(crate) const REQUEST_TAG: &str = "multicloud-request";

/// One create: its token, and a digest of its spec. Written as the value of [`REQUEST_TAG`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) token: ClientToken,
    digest: String,
}

impl Request {
    pub(crate) fn new(
        kind: ResourceKind,
        spec: &impl Serialize,
        token: &ClientToken,
    ) -> Result<Self> {
        let spec = serde_json::to_vec(&(kind, spec))
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let digest = Sha256::digest(spec);
        let digest = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { token: token.clone(), digest })
    }

    /// The value of the tag.
    pub(crate) fn tag(&self) -> String {
        format!("{}.{}", self.token, self.digest)
    }

    /// What the tag of something that is already there says about this create: `true` if it made it, `false` if another did.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it was made with this token for another spec.
    pub(crate) fn made(&self, tag: Option<&str>) -> Result<bool> {
        match tag.and_then(|tag| tag.rsplit_once('.')) {
            Some((token, digest)) if token == self.token.as_str() => match digest == self.digest {
                true => Ok(true),
                false => Err(self.conflict()),
            },
            _ => Ok(false),
        }
    }

    fn conflict(&self) -> Error {
        let message = format!("the client token {} was used with another spec", self.token);
        Error::new(ErrorKind::Conflict, message).with_hint("use a new token for another spec")
    }
}

/// What one token is known for; the lock makes the creates of one token follow each other.
type Known = Arc<tokio::sync::Mutex<Option<Request>>>;

/// The tokens of this process. Where AWS takes a token itself, or a name is unique, this only saves the call; creating
/// a network, for which AWS has neither, is safe by the tag on what was made, and by this between the tasks of a process.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<(HashMap<ClientToken, Known>, VecDeque<ClientToken>)>);

impl Tokens {
    /// How many are remembered.
    const MOST: usize = 10_000;

    fn known(&self, token: &ClientToken) -> Known {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, order) = &mut *inner;
        if let Some(entry) = known.get(token) {
            return entry.clone();
        }
        if order.len() >= Self::MOST
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        order.push_back(token.clone());
        known.entry(token.clone()).or_default().clone()
    }

    /// Runs a create, one at a time for its token, and refuses the token if another spec was created with it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`], or what `create` says. After an error without an effect the token is free again.
    pub(crate) async fn once<T, F, Fut>(
        &self,
        kind: ResourceKind,
        spec: &impl Serialize,
        token: &ClientToken,
        create: F,
    ) -> Result<T>
    where
        F: FnOnce(Request) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let request = Request::new(kind, spec, token)?;
        let known = self.known(token);
        let mut known = known.lock().await;
        match &*known {
            Some(earlier) if *earlier != request => return Err(request.conflict()),
            _ => {}
        }
        let was_free = known.is_none();
        // Before the call: one that is dropped half-way may have had its effect.
        *known = Some(request.clone());
        let made = create(request).await;
        if let Err(error) = &made
            && was_free
            && error.effect() == Effect::None
        {
            *known = None;
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_bound_by_success_and_by_what_may_have_been_one() {
        let tokens = Tokens::default();
        let token = ClientToken::random();
        let run = async |spec: &str, result: Result<u8>| {
            tokens.once(ResourceKind::Bucket, &spec, &token, |_| async { result }).await
        };
        let refused = Error::new(ErrorKind::QuotaExceeded, "full");
        assert!(run("a", Err(refused)).await.is_err());
        assert_eq!(run("b", Ok(1)).await.unwrap(), 1);
        assert_eq!(run("a", Ok(1)).await.unwrap_err().kind(), ErrorKind::Conflict);

        let token = ClientToken::random();
        let run = async |spec: &str, result: Result<u8>| {
            tokens.once(ResourceKind::Bucket, &spec, &token, |_| async { result }).await
        };
        let lost = Error::new(ErrorKind::Timeout, "no answer");
        assert!(run("a", Err(lost)).await.is_err());
        assert_eq!(run("b", Ok(1)).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(run("a", Ok(2)).await.unwrap(), 2);
    }

    #[test]
    fn a_tag_tells_who_made_what_bears_it() {
        let token = ClientToken::random();
        let of = |spec: &str| Request::new(ResourceKind::Bucket, &spec, &token).unwrap();
        let (a, b) = (of("a"), of("b"));
        assert!(a.made(Some(&a.tag())).unwrap());
        assert_eq!(a.made(Some(&b.tag())).unwrap_err().kind(), ErrorKind::Conflict);
        assert!(!a.made(None).unwrap());
        assert!(!a.made(Some("other.0123")).unwrap());
        assert!(a.tag().len() <= 256);
    }
}
