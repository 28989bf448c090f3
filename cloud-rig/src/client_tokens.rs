//! AWS's promises about repeats with one token, which no emulator keeps: nothing is done twice.
//!
//! EC2 (`ClientToken`) gives a repeat the first answer, and refuses other parameters. Route 53 (`CallerReference`) does
//! so for health checks, and refuses every repeat for a hosted zone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use crate::{
    faults::Reply,
    record::Seen,
    wire::{error, parameter},
};

/// What a request with a token is promised.
struct Promise {
    token: String,
    /// What was asked for; of a form, in whatever order.
    parameters: BTreeMap<String, String>,
    /// Whether an equal repeat gets the first answer.
    repeats: bool,
    /// The error that another repeat gets.
    refusal: (u16, &'static str),
}

impl Promise {
    fn of(seen: &Seen) -> Option<Self> {
        let body = std::str::from_utf8(&seen.body).ok()?;
        let (token, parameters, repeats, refusal) = match (&*seen.service, &*seen.operation) {
            ("ec2", _) => {
                let pairs = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
                let refusal = (400, "IdempotentParameterMismatch");
                (parameter(seen, "ClientToken")?, pairs, true, refusal)
            }
            ("route53", "POST /2013-04-01/hostedzone") => {
                (caller_reference(body)?, BTreeMap::new(), false, (409, "HostedZoneAlreadyExists"))
            }
            ("route53", "POST /2013-04-01/healthcheck") => {
                let whole = BTreeMap::from([(String::new(), body.to_owned())]);
                (caller_reference(body)?, whole, true, (409, "HealthCheckAlreadyExists"))
            }
            _ => return None,
        };
        (!token.is_empty()).then_some(Self { token, parameters, repeats, refusal })
    }
}

fn caller_reference(body: &str) -> Option<String> {
    let (_, rest) = body.split_once("<CallerReference>")?;
    Some(rest.split_once('<')?.0.to_owned())
}

/// What was asked for and answered first.
type Kept = Option<(BTreeMap<String, String>, Reply)>;

/// By region, operation and token, as AWS keeps them.
#[derive(Debug, Default)]
pub(super) struct ClientTokens(Mutex<HashMap<[String; 3], Arc<tokio::sync::Mutex<Kept>>>>);

impl ClientTokens {
    /// Forwards a request, unless one with its token succeeded: then it gets what AWS promises. Concurrent repeats wait
    /// for the first. The second of what is returned says whether the server answered.
    pub(super) async fn once<E>(
        &self,
        seen: &Seen,
        forward: impl Future<Output = Result<Reply, E>>,
    ) -> Result<(Reply, bool), E> {
        let Some(Promise { token, parameters, repeats, refusal }) = Promise::of(seen) else {
            return Ok((forward.await?, true));
        };
        let key = [seen.region.clone(), seen.operation.clone(), token];
        let entry = self.0.lock().unwrap().entry(key).or_default().clone();
        // Held until the first is answered.
        let mut kept = entry.lock().await;
        if let Some((first, reply)) = &*kept {
            if repeats && *first == parameters {
                return Ok((reply.clone(), false));
            }
            let (status, code) = refusal;
            return Ok((error(seen, status, code, "The token is already in use."), false));
        }
        let reply = forward.await?;
        // What failed may be tried again with its token.
        if reply.status.is_success() {
            *kept = Some((parameters, reply.clone()));
        }
        Ok((reply, true))
    }
}
