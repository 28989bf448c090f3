//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cloud_patterns::sync::{
    Comparison, Compression, ConflictResolution, DeletionPolicy, FilterSpec, Shards, SyncMode,
    SyncPolicy, TransferLimits,
};

use crate::Result;

/// Makes the objects of one location the same as those of another. Exit status: 0 if they are, 2 if single objects could
/// not be copied or conflicts are open, 1 if the run could not be finished.
#[derive(Debug, Parser)]
#[command(name = "sync", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Where to copy from: file:///folder, s3://bucket/prefix, az://container/prefix, gs://bucket/prefix, …
    pub(crate) source: Option<String>,
    /// Where to copy to.
    pub(crate) target: Option<String>,
    /// What is made the same: full copies all, incremental what is new or changed, mirror deletes as well.
    #[arg(long, value_enum, default_value = "incremental")]
    pub(crate) mode: Mode,
    /// Says what would be done and why, and does nothing.
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
    /// Who wins if both sides changed.
    #[arg(long, value_enum, default_value = "last-modified-wins")]
    pub(crate) conflicts: Conflicts,
    /// How objects are compared.
    #[arg(long, value_enum, default_value = "checksum")]
    pub(crate) compare: Compare,
    /// Stores bodies compressed by zstd.
    #[arg(long, value_enum)]
    pub(crate) compress: Option<Compress>,
    /// Only keys of this pattern; may be repeated.
    #[arg(long)]
    pub(crate) include: Vec<String>,
    /// Not the keys of this pattern; may be repeated.
    #[arg(long)]
    pub(crate) exclude: Vec<String>,
    /// The most objects that may be deleted.
    #[arg(long)]
    pub(crate) max_delete: Option<u64>,
    /// The greatest share of objects that may be deleted, from 0 to 1.
    #[arg(long)]
    pub(crate) max_delete_share: Option<f64>,
    /// A folder of the target to which objects are moved instead of being deleted.
    #[arg(long)]
    pub(crate) trash: Option<String>,
    /// The most bytes per second.
    #[arg(long)]
    pub(crate) bandwidth: Option<u64>,
    /// The most requests per second.
    #[arg(long)]
    pub(crate) requests: Option<u32>,
    /// The most objects on their way at once, instead of as many as make it faster.
    #[arg(long)]
    pub(crate) transfers: Option<usize>,
    /// Number of key ranges that workers can take separately.
    #[arg(long, default_value_t = 1)]
    pub(crate) shards: u16,
    /// The shard to begin with. Without it, JOB_COMPLETION_INDEX of a Kubernetes Indexed Job.
    #[arg(long)]
    pub(crate) shard: Option<u16>,
    /// Where progress and state are kept: a SQLite file, or postgres://… for several workers.
    #[arg(long, env = "MULTICLOUD_STORE")]
    pub(crate) store: Option<String>,
    /// Allows http to other machines. Anyone on the way can then read and change what is copied.
    #[arg(long)]
    pub(crate) allow_http: bool,
    /// What a gigabyte out of the source's region costs, for the estimate.
    #[arg(long)]
    pub(crate) egress_per_gb: Option<rust_decimal::Decimal>,
    /// Prints the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Prints nothing but errors.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Prints every object.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints a Kubernetes Indexed Job whose workers share one sync.
    Manifest(Manifest),
}

#[derive(Debug, Args)]
pub(crate) struct Manifest {
    /// Where to copy from.
    pub(crate) source: String,
    /// Where to copy to.
    pub(crate) target: String,
    /// Number of workers.
    #[arg(long, default_value_t = 4)]
    pub(crate) workers: u16,
    /// The image that holds this program.
    #[arg(long)]
    pub(crate) image: String,
    /// The secret whose key `store` holds the URL of the PostgreSQL store and whose other keys are the environment of the
    /// workers, such as credentials.
    #[arg(long, default_value = "multicloud-sync")]
    pub(crate) secret: String,
    /// The name of the job in Kubernetes.
    #[arg(long, default_value = "multicloud-sync")]
    pub(crate) name: String,
}

macro_rules! choice {
    ($name:ident => $of:ty { $($variant:ident),+ }) => {
        #[derive(Clone, Copy, Debug, ValueEnum)]
        pub(crate) enum $name { $($variant),+ }

        impl From<$name> for $of {
            fn from(choice: $name) -> Self {
                match choice { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}

choice!(Mode => SyncMode { Full, Incremental, Mirror, Bidirectional });
choice!(Conflicts => ConflictResolution { LastModifiedWins, SourceWins, TargetWins, KeepBoth, Fail });
choice!(Compare => Comparison { Checksum, SizeAndTime, Size });
choice!(Compress => Compression { ContentEncoding, Suffix });

impl Arguments {
    pub(crate) fn locations(&self) -> Result<(&str, &str)> {
        match (&self.source, &self.target) {
            (Some(source), Some(target)) => Ok((source, target)),
            _ => Err("SOURCE and TARGET are needed; see --help".into()),
        }
    }

    pub(crate) fn policy(&self) -> Result<SyncPolicy> {
        let deletion = DeletionPolicy::default();
        Ok(SyncPolicy {
            mode: self.mode.into(),
            conflict_resolution: self.conflicts.into(),
            comparison: self.compare.into(),
            compression: self.compress.map_or(Compression::None, Compression::from),
            filter: FilterSpec {
                include: self.include.clone(),
                exclude: self.exclude.clone(),
                ..FilterSpec::default()
            },
            deletion: DeletionPolicy {
                max_count: self.max_delete.unwrap_or(deletion.max_count),
                max_share: self.max_delete_share.unwrap_or(deletion.max_share),
                trash: self.trash.clone(),
            },
            limits: TransferLimits {
                bytes_per_second: self.bandwidth,
                requests_per_second: self.requests,
                concurrency: self.transfers,
                ..TransferLimits::default()
            },
            shards: Shards(self.shards),
            allow_unencrypted_transport: self.allow_http,
            ..SyncPolicy::default()
        })
    }

    pub(crate) fn first_shard(&self) -> Result<u16> {
        match (self.shard, std::env::var("JOB_COMPLETION_INDEX")) {
            (Some(shard), _) => Ok(shard),
            (None, Ok(index)) => {
                Ok(index.parse().map_err(|e| format!("JOB_COMPLETION_INDEX '{index}': {e}"))?)
            }
            (None, Err(_)) => Ok(0),
        }
    }

    pub(crate) fn store_file(&self) -> Result<PathBuf> {
        if let Some(file) = &self.store {
            return Ok(file.into());
        }
        let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let state = home("XDG_STATE_HOME").or_else(|| Some(home("HOME")?.join(".local/state")));
        let state = state.ok_or("neither HOME nor XDG_STATE_HOME is set: say --store FILE")?;
        Ok(state.join("multicloud/sync.db"))
    }
}
