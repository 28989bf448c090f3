//! The clients: what each is called and which commands make it sync two buckets.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use cloud_testkit::object_server::Dialect;

use super::{
    naive,
    programs::Programs,
    side::{ACCESS_KEY, ACCOUNT, ACCOUNT_KEY, REGION, Side},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    /// The example `sync`, with journal and verification.
    Ours,
    /// With the flags of who knows it.
    RcloneTuned,
    /// And so many at once as a high latency needs.
    Rclone256,
    RcloneDefault,
    /// Down to a folder and up again.
    S5cmd,
    Naive,
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::RcloneTuned => "rclone tuned",
            Self::Rclone256 => "rclone 256",
            Self::RcloneDefault => "rclone default",
            Self::S5cmd => "s5cmd (down + up)",
            Self::Naive => "naive loop",
        }
    }

    /// A name for its files and buckets.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::RcloneTuned => "rclone-tuned",
            Self::Rclone256 => "rclone-256",
            Self::RcloneDefault => "rclone-default",
            Self::S5cmd => "s5cmd",
            Self::Naive => "naive",
        }
    }

    /// What is to be run, one after the other. It keeps what it has to remember in `home`.
    pub(crate) fn commands(
        self,
        programs: &Programs,
        source: &Side,
        target: &Side,
        home: &Path,
    ) -> Result<Vec<Command>, String> {
        match self {
            Self::Ours => Ok(vec![ours(programs.ours.path.clone()?, source, target, home)]),
            Self::RcloneTuned | Self::Rclone256 | Self::RcloneDefault => {
                let mut command = rclone(programs.rclone.path.clone()?, source, target, home);
                let at_once = match self {
                    Self::RcloneTuned => Some("64"),
                    Self::Rclone256 => Some("256"),
                    _ => None,
                };
                if let Some(number) = at_once {
                    command.args(["--transfers", number, "--checkers", number]).args(TUNED);
                }
                Ok(vec![command])
            }
            Self::S5cmd => s5cmd(&programs.s5cmd.path.clone()?, source, target, home),
            Self::Naive => Ok(vec![naive::command(source, target)?]),
        }
    }
}

fn ours(program: PathBuf, source: &Side, target: &Side, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args([source.url(), target.url()])
        // As `rclone sync` does.
        .args(["--mode", "mirror", "--quiet", "--store"])
        .arg(home.join("sync.db"))
        .env("HOME", home)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
        .env("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        .env("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY);
    command
}

/// Beside numbers of transfers and checkers.
const TUNED: &[&str] = &[
    "--fast-list",
    "--checksum",
    "--s3-no-check-bucket",
    "--s3-no-head",
    "--no-update-modtime",
    "--disable-http2",
];

fn rclone(program: PathBuf, source: &Side, target: &Side, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("sync")
        .arg(format!("source:{}", source.bucket))
        .arg(format!("target:{}", target.bucket))
        .env("HOME", home)
        // In memory only.
        .env("RCLONE_CONFIG", "");
    for (name, side) in [("SOURCE", source), ("TARGET", target)] {
        let endpoint = side.endpoint();
        let settings: &[(&str, &str)] = match side.dialect {
            Dialect::S3 => &[
                ("TYPE", "s3"),
                ("PROVIDER", "Minio"),
                ("REGION", REGION),
                ("ACCESS_KEY_ID", ACCESS_KEY),
                ("SECRET_ACCESS_KEY", ACCESS_KEY),
                ("ENDPOINT", &endpoint),
            ],
            Dialect::Azure => &[
                ("TYPE", "azureblob"),
                ("ACCOUNT", ACCOUNT),
                ("KEY", ACCOUNT_KEY),
                ("ENDPOINT", &endpoint),
            ],
        };
        for (setting, value) in settings {
            command.env(format!("RCLONE_CONFIG_{name}_{setting}"), value);
        }
    }
    command
}

/// It copies between a bucket and a folder, or within one server.
fn s5cmd(
    program: &Path,
    source: &Side,
    target: &Side,
    home: &Path,
) -> Result<Vec<Command>, String> {
    if target.dialect != Dialect::S3 {
        return Err("it knows S3 only".into());
    }
    let folder = format!("{}/", home.join("objects").display());
    let copy = |side: &Side, from: &str, to: &str| {
        let mut command = Command::new(program);
        command
            .args(["--log", "error", "--endpoint-url", &side.endpoint(), "cp", from, to])
            .env("HOME", home)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
            .env("AWS_REGION", REGION);
        command
    };
    Ok(vec![
        copy(source, &format!("s3://{}/*", source.bucket), &folder),
        copy(target, &folder, &format!("s3://{}/", target.bucket)),
    ])
}
