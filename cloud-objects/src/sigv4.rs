//! Signing keys, made once a day and not at every request.
//!
//! A signature of version 4 needs a chain of four keyed hashes over the date, the region and the service before the
//! one over the request itself. They are the same for all requests of a day.

use std::{
    fmt,
    sync::{PoisonError, RwLock},
};

use object_store::client::{
    CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm,
};
use ring::{digest, hmac};
use zeroize::Zeroizing;

/// Hashes of `ring`, with a memory for keyed hashes of short texts.
#[derive(Clone, Default)]
pub(crate) struct KeyCache(std::sync::Arc<RwLock<Vec<Known>>>);

/// The hash of a short text by a key.
struct Known {
    key: Zeroizing<Vec<u8>>,
    text: Vec<u8>,
    hash: Zeroizing<[u8; 32]>,
}

impl KeyCache {
    /// Texts of the chain are shorter (a date, a region, a service), those that are signed longer.
    const SHORT: usize = 64;
    /// Four chains of four: a handle has one, and a second one after midnight.
    const KEPT: usize = 16;

    fn known(&self, key: &[u8], text: &[u8]) -> Option<[u8; 32]> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|known| *known.key == key && known.text == text).map(|known| *known.hash)
    }

    fn hash(&self, key: &[u8], text: &[u8]) -> [u8; 32] {
        if text.len() <= Self::SHORT
            && let Some(hash) = self.known(key, text)
        {
            return hash;
        }
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
        let mut hash = [0; 32];
        hash.copy_from_slice(tag.as_ref());
        if text.len() <= Self::SHORT {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= Self::KEPT {
                known.clear();
            }
            let (key, text) = (Zeroizing::new(key.to_vec()), text.to_vec());
            known.push(Known { key, text, hash: Zeroizing::new(hash) });
        }
        hash
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache")
    }
}

impl CryptoProvider for KeyCache {
    fn digest(&self, algorithm: DigestAlgorithm) -> object_store::Result<Box<dyn DigestContext>> {
        only_sha256(&algorithm)?;
        Ok(Box::new(Digest { context: digest::Context::new(&digest::SHA256), hash: None }))
    }

    fn hmac(
        &self,
        algorithm: DigestAlgorithm,
        secret: &[u8],
    ) -> object_store::Result<Box<dyn HmacContext>> {
        only_sha256(&algorithm)?;
        Ok(Box::new(Keyed {
            cache: self.clone(),
            key: Zeroizing::new(secret.to_vec()),
            text: Vec::new(),
            hash: Zeroizing::new([0; 32]),
        }))
    }

    fn sign(&self, _: SigningAlgorithm, _: &[u8]) -> object_store::Result<Box<dyn Signer>> {
        let source = "signatures by private keys are not part of S3".into();
        Err(object_store::Error::NotSupported { source })
    }
}

fn only_sha256(algorithm: &DigestAlgorithm) -> object_store::Result<()> {
    match algorithm {
        DigestAlgorithm::Sha256 => Ok(()),
        other => {
            let source = format!("{other:?} is not part of S3's signatures").into();
            Err(object_store::Error::NotSupported { source })
        }
    }
}

struct Digest {
    context: digest::Context,
    hash: Option<digest::Digest>,
}

impl DigestContext for Digest {
    fn update(&mut self, data: &[u8]) {
        self.context.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        let hash: &digest::Digest = self.hash.insert(self.context.clone().finish());
        Ok(hash.as_ref())
    }
}

struct Keyed {
    cache: KeyCache,
    key: Zeroizing<Vec<u8>>,
    text: Vec<u8>,
    hash: Zeroizing<[u8; 32]>,
}

impl HmacContext for Keyed {
    fn update(&mut self, data: &[u8]) {
        self.text.extend_from_slice(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        *self.hash = self.cache.hash(&self.key, &self.text);
        Ok(&*self.hash)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hashes_are_those_of_ring(
            inputs in prop::collection::vec(("[a-c]{1,3}", "[a-c]{0,2}|[a-z]{60,70}"), 1..40),
        ) {
            let cache = KeyCache::default();
            for (key, text) in inputs {
                let mut context = cache.hmac(DigestAlgorithm::Sha256, key.as_bytes()).unwrap();
                let (head, tail) = text.split_at(text.len() / 2);
                context.update(head.as_bytes());
                context.update(tail.as_bytes());
                let right = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes());
                prop_assert_eq!(context.finish().unwrap(), right.as_ref());
                prop_assert!(cache.0.read().unwrap().len() <= KeyCache::KEPT);
            }
        }
    }
}
