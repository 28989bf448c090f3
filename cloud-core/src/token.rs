//! Client tokens: what makes a repeated create the same create.

use uuid::Uuid;

use crate::text::{check_identifier, text_type};

text_type! {
    /// Names one attempt to create one thing. Two creates with the same token and the same spec are one:
    /// the second returns what the first made. The same token with another spec is refused.
    ///
    /// A token is a UUID in text form (36 bytes), which every provider's own idempotency takes as it is:
    /// EC2's `ClientToken` (at most 64 ASCII characters), Google's `requestId` (a UUID). ARM needs none:
    /// its PUT is idempotent by name.
    ///
    /// ```
    /// use cloud_core::ClientToken;
    /// // The same plan, step and generation always give the same token, on any machine.
    /// assert_eq!(ClientToken::derive("plan-7", "web-1", 1), ClientToken::derive("plan-7", "web-1", 1));
    /// assert_ne!(ClientToken::derive("plan-7", "web-1", 1), ClientToken::derive("plan-7", "web-1", 2));
    /// ```
    ClientToken, |text| check_identifier("client token", text, 64, &['-', '_'])
}

impl ClientToken {
    /// Version 5 UUIDs need a namespace; this one is ours alone.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6d75_6c74_6963_4c6f_8075_6431_0000_0001);

    /// The token of a step of a plan. The generation counts deliberate new attempts: it grows only when the
    /// attempt before is known to have left nothing.
    pub fn derive(plan: &str, step: &str, generation: u32) -> Self {
        // A length in front keeps ("a", "bc") and ("ab", "c") apart.
        let name = format!("{}:{plan}/{step}/{generation}", plan.len());
        Self::from_uuid(Uuid::new_v5(&Self::NAMESPACE, name.as_bytes()))
    }

    /// A token that nobody else has, for calls outside a plan. Keep it to be able to repeat the call.
    pub fn random() -> Self {
        Self::from_uuid(Uuid::new_v4())
    }

    fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.to_string().into())
    }
}
