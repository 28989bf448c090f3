//! The typed views of all kinds behind one enum, so that one table can hold them all.

use cloud_core::{
    Bucket, CloudId, Cluster, DatabaseServer, DnsZone, Error, ErrorKind, Firewall, Function,
    HealthCheck, Instance, Peering, Provider, Resource, ResourceId, ResourceKind, ResourceStatus,
    Result, Snapshot, Tags, View, VirtualNetwork,
};

/// A view that the table can hold.
pub(super) trait StoredView: Sized {
    const KIND: ResourceKind;
    fn wrap(self) -> AnyView;
    fn unwrap(any: AnyView) -> Option<Self>;
}

macro_rules! views {
    ($($kind:ident($ty:ty)),*) => {
        /// Any typed view.
        #[derive(Clone, Debug)]
        pub(super) enum AnyView {
            $($kind($ty)),*
        }

        impl AnyView {
            pub(super) fn id(&self) -> &ResourceId {
                match self { $(Self::$kind(v) => &v.id),* }
            }

            pub(super) fn name(&self) -> &str {
                match self { $(Self::$kind(v) => &v.name),* }
            }

            pub(super) fn tags(&self) -> &Tags {
                match self { $(Self::$kind(v) => &v.tags),* }
            }

            pub(super) fn to_resource(&self, cloud: &CloudId, provider: Provider) -> Resource {
                match self { $(Self::$kind(v) => v.to_resource(cloud, provider)),* }
            }

            fn set_status(&mut self, status: ResourceStatus) {
                match self { $(Self::$kind(v) => v.status = status),* }
            }
        }

        $(impl StoredView for $ty {
            const KIND: ResourceKind = ResourceKind::$kind;
            fn wrap(self) -> AnyView {
                AnyView::$kind(self)
            }
            fn unwrap(any: AnyView) -> Option<Self> {
                match any {
                    AnyView::$kind(view) => Some(view),
                    _ => None,
                }
            }
        })*
    };
}

views!(
    Instance(Instance),
    Bucket(Bucket),
    Database(DatabaseServer),
    Snapshot(Snapshot),
    Network(VirtualNetwork),
    Firewall(Firewall),
    Peering(Peering),
    Cluster(Cluster),
    Function(Function),
    HealthCheck(HealthCheck),
    DnsZone(DnsZone)
);

impl AnyView {
    /// The view as it is in this state.
    pub(super) fn with_status(mut self, status: ResourceStatus, reason: Option<&str>) -> Self {
        self.set_status(status);
        match &mut self {
            Self::Instance(view) => {
                view.provider_status = status.as_str().to_owned();
                view.status_reason = reason.map(str::to_owned);
            }
            Self::Database(view) => view.provider_status = status.as_str().to_owned(),
            _ => {}
        }
        self
    }

    /// The view as what its kind says it is.
    pub(super) fn typed<V: StoredView>(self) -> Result<V> {
        V::unwrap(self)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a resource of another kind is stored"))
    }
}
