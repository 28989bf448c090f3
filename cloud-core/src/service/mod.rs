//! The service traits, one file each: what every adapter implements and every pattern calls.
//!
//! They share these rules, so that no trait has to repeat them:
//!
//! - **Regions.** One cloud serves all its regions. A spec names its region; a [`ResourceId`](crate::ResourceId) carries it.
//! - **Create** takes a [`ClientToken`](crate::ClientToken). The same token with the same spec returns what it made
//!   the first time; with another spec it is refused ([`Conflict`](crate::ErrorKind::Conflict)). It
//!   returns once the provider has accepted the request: the view's status says whether the thing is ready,
//!   [`wait_until`](crate::wait_until) waits for it. Tags are set in the same call, never after it.
//! - **Get** of what does not exist fails with [`NotFound`](crate::ErrorKind::NotFound).
//! - **Delete** answers `true` if there was something to delete and `false` if not, so it can be repeated. What
//!   it deletes may be seen as [`Deleting`](crate::ResourceStatus::Deleting) or [`Deleted`](crate::ResourceStatus::Deleted) for a while.
//! - **List** is by page; the `…Ext` traits make a [`Listing`](crate::Listing) stream of it.
//! - **Cancellation.** Dropping a future abandons the answer, not the request: after a dropped mutating call its
//!   effect is unknown, as after a time-out. Repeat a create with the same token, or look it up by its tags.
//! - **Time-outs** are the business of an interceptor, not of the adapters.
//!
//! # Names in other tools
//!
//! | elsewhere | here |
//! |---|---|
//! | `create_compute_instance`, `create_vm`, `run_instances` | [`Compute::create_instance`] |
//! | `list_vms` | [`ComputeExt::list_instances`] |
//! | `delete_vm`, `terminate_instances` | [`Compute::delete_instance`] |
//! | `create_storage_bucket` | [`Storage::create_bucket`] |
//! | `create_database` | [`Database::create_database`] |
//! | `create_network` | [`Network::create_network`] |
//! | `list_resources` | [`CloudExt::list_resources`] |
//! | `delete_resource` | [`Cloud::delete_resource`] |
//! | `create_table`, `query`, `insert` (`DatabaseService`) | [`Sql::create_table`], [`Sql::query`], [`Sql::insert`] |
//! | `CloudAbstractionLayer`, `CloudProvider` (the interface) | [`Cloud`] |

mod billing;
mod cloud;
mod compute;
mod database;
mod dns;
mod functions;
mod health_check;
mod kubernetes;
mod metrics;
mod network;
mod sql;
mod storage;

pub use billing::*;
pub use cloud::*;
pub use compute::*;
pub use database::*;
pub use dns::*;
pub use functions::*;
pub use health_check::*;
pub use kubernetes::*;
pub use metrics::*;
pub use network::*;
pub use sql::*;
pub use storage::*;

/// Defines an extension trait whose methods turn the paged listings of a service into streams.
macro_rules! listings {
    ($(#[$meta:meta])* $ext:ident: $base:ident {
        $($(#[$fn_meta:meta])* $name:ident by $page:ident($query:ty) -> $item:ty;)*
    }) => {
        $(#[$meta])*
        pub trait $ext: $base {
            $($(#[$fn_meta])*
            fn $name<'a>(&'a self, query: &$query) -> $crate::Listing<'a, $item> {
                let query = query.clone();
                $crate::Listing::new($crate::PageRequest::default(), move |page| {
                    let query = query.clone();
                    async move { self.$page(&query, &page).await }
                })
            })*
        }
        impl<T: $base + ?Sized> $ext for T {}
    };
}
pub(crate) use listings;
