//! The instance types of a local cloud: a fixed table, smallest first.

use cloud_core::{ByteSize, Error, ErrorKind, InstanceSize, InstanceType, Region, Result};

/// Name, virtual CPUs, GiB.
pub(crate) const TYPES: [(&str, u32, u64); 4] =
    [("local.1x1", 1, 1), ("local.2x4", 2, 4), ("local.4x8", 4, 8), ("local.8x16", 8, 16)];

/// The types as a region offers them.
pub(crate) fn in_region(region: &Region) -> impl Iterator<Item = InstanceType> + '_ {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    TYPES.iter().map(move |(name, vcpu, gib)| InstanceType {
        name: (*name).to_owned(),
        region: region.clone(),
        vcpu: *vcpu,
        memory: ByteSize::gib(*gib),
        gpu: 0,
        architecture: Some(architecture.to_owned()),
    })
}

/// The type that a size asks for.
///
/// # Errors
/// `InvalidInput` for an unknown name, `CapacityUnavailable` if none is large enough.
pub(crate) fn resolve(size: &InstanceSize, region: &Region) -> Result<InstanceType> {
    let names = TYPES.map(|(name, ..)| name).join(", ");
    match size {
        InstanceSize::Exact(name) => in_region(region)
            .find(|t| t.name == *name)
            .ok_or_else(|| Error::invalid("size.exact", format_args!("is '{name}'"), names)),
        InstanceSize::AtLeast { vcpu, memory, gpu } => in_region(region)
            .find(|t| t.vcpu >= *vcpu && t.memory >= *memory && t.gpu >= *gpu)
            .ok_or_else(|| {
                let message =
                    format!("no type has {vcpu} vCPU, {memory} and {gpu} GPU; there are: {names}");
                Error::new(ErrorKind::CapacityUnavailable, message)
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_least(vcpu: u32, gib: u64, gpu: u32) -> Result<String> {
        let memory = ByteSize::gib(gib);
        let region = Region::new("eu-1").unwrap();
        resolve(&InstanceSize::AtLeast { vcpu, memory, gpu }, &region).map(|t| t.name)
    }

    #[test]
    fn the_smallest_that_fits_is_taken() {
        assert_eq!(at_least(1, 1, 0).unwrap(), "local.1x1");
        assert_eq!(at_least(1, 3, 0).unwrap(), "local.2x4");
        assert_eq!(at_least(5, 1, 0).unwrap(), "local.8x16");
        for (vcpu, gib, gpu) in [(9, 1, 0), (1, 17, 0), (1, 1, 1)] {
            let error = at_least(vcpu, gib, gpu).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CapacityUnavailable);
        }
        let region = Region::new("eu-1").unwrap();
        let error = resolve(&InstanceSize::Exact("t3.micro".into()), &region).unwrap_err();
        assert!(error.to_string().contains("local.8x16"), "{error}");
    }
}
