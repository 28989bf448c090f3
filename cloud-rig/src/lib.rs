//! The test rig: servers of others as child processes, the proxy in front of them, the judge of what was sent, the table of proof.
//!
//! ```text
//! tests ── Proxy ── Emulator (moto, ministack, s3s-fs)
//!            │  records, strikes, keeps client tokens
//!            └─ *.jsonl ── judge.py (botocore's models) ── Verdict ── docs/proved.md
//! ```
//!
//! A test skips by name where the server is not installed, and fails there with CI=true:
//!
//! ```ignore
//! let Some(moto) = Emulator::shared(Kind::Moto) else { return };
//! let proxy = moto.proxy();
//! // … an adapter with proxy.url() as its endpoint and moto.keys() as its credentials …
//! proxy.inject(Fault::on("ec2", "RunInstances", What::DelayAnswer(Duration::from_secs(60))));
//! // … run: the client gives up, repeats with its token …
//! assert_eq!(proxy.faults_left(), 0);
//! assert_eq!(proxy.count(|seen| seen.is("ec2", "RunInstances")), 2);
//! ```
//!
//! With RECORD_REQUESTS=/absolute/folder every proxy records; `Proxy::recording` chooses a folder of its own. Then
//! `judge(folder, Some(errors))`, `verdict.assert_clean()`, `check(file, &render(&proofs(&verdict)))`.
//!
//! Nothing in `server`, `proxy`, `faults`, `record` and `matrix` is of one provider. What AWS alone has is in
//! `emulators` (who is started and how it is set up), `wire` (how a request says what it wants, how an error looks),
//! `client_tokens` and the Python files.
// It is a test itself: what goes wrong here has to end it, at the place where it went wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![forbid(unsafe_code)]

mod client_tokens;
mod emulators;
mod faults;
mod judge;
mod matrix;
mod proxy;
mod record;
mod server;
mod wire;

pub use emulators::{Emulator, Keys, Kind, Network};
pub use faults::{Fault, Reply, What};
pub use judge::{Complaint, Operation, Verdict, judge};
pub use matrix::{CANNED, Proof, check, difference, proofs, render};
pub use proxy::{Caller, Proxy};
pub use record::{Answer, Seen};
pub use server::{Launch, Server, installed};
