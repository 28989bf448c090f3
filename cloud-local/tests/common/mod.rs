//! What the tests share: a cloud in a folder of its own, whose processes do not outlive the test.
#![allow(dead_code)]

use std::{io::Write, path::Path, time::Duration};

use cloud_core::{Cloud, ResourceStatus};
use cloud_core::{CloudId, Instance, InstanceSpec, Region, ResourceId, WaitOptions, wait_until};
use cloud_local::{LocalCloud, LocalConfig};
use tempfile::TempDir;

/// A data folder. Dropping it kills every process whose HOME is in it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn config(&self) -> LocalConfig {
        LocalConfig::new(self.path(), [region("eu-1"), region("us-1")])
    }

    /// Opens the cloud as another process would: with nothing in memory.
    pub(crate) async fn open(&self) -> LocalCloud {
        self.open_with(self.config()).await
    }

    pub(crate) async fn open_with(&self, config: LocalConfig) -> LocalCloud {
        LocalCloud::open(CloudId::new("laptop").unwrap(), config).await.unwrap()
    }

    /// The pids of all processes that were started in this folder.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let home = format!("HOME={}", self.path().display());
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environ.split(|b| *b == 0).any(|var| var.starts_with(home.as_bytes()))
            })
            .collect()
    }

    /// Every file below the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, files: &mut Vec<String>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, root, files);
                } else {
                    files.push(path.strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
        let mut files = Vec::new();
        walk(self.path(), self.path(), &mut files);
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for pid in self.processes() {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

pub(crate) fn region(name: &str) -> Region {
    Region::new(name).unwrap()
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

pub(crate) fn sleeper(name: &str) -> InstanceSpec {
    shell(name, "exec sleep 1000")
}

pub(crate) fn shell(name: &str, script: &str) -> InstanceSpec {
    let mut spec = InstanceSpec::new(name, region("eu-1"));
    spec.command = words(&["/bin/sh", "-c", script]);
    spec
}

pub(crate) fn patience() -> WaitOptions {
    WaitOptions {
        deadline: Duration::from_secs(30),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(100),
        ..WaitOptions::default()
    }
}

pub(crate) async fn until_status(
    cloud: &LocalCloud,
    id: &ResourceId,
    wanted: ResourceStatus,
) -> Instance {
    let compute = cloud.compute().unwrap();
    wait_until(wanted.as_str(), &patience(), || async {
        let now = compute.get_instance(id).await?;
        Ok((now.status == wanted).then_some(now))
    })
    .await
    .unwrap()
}

/// Waits until the console of an instance contains a text, and returns all of it.
pub(crate) async fn until_console(cloud: &LocalCloud, id: &ResourceId, wanted: &str) -> String {
    let compute = cloud.compute().unwrap();
    wait_until(wanted, &patience(), || async {
        let console = compute.console_output(id).await?;
        let console = String::from_utf8_lossy(&console).into_owned();
        Ok(console.contains(wanted).then_some(console))
    })
    .await
    .unwrap()
}

/// Says that a test is skipped, where the test runner does not keep it to itself.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Skips a test for want of something that can be installed, which in CI it must be.
pub(crate) fn missing(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {reason}");
    skip(test, reason);
}
