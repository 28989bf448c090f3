//! The servers that pose as AWS, set up: users whose signatures and permissions are checked, roles, default networks.

use std::{
    collections::BTreeMap,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use serde::Deserialize;

use crate::{
    proxy::Proxy,
    server::{Launch, Server, installed},
};

/// Which server poses as AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Most services; signatures and IAM policies are checked.
    Moto,
    /// Most services, by other authors; nothing is checked.
    Ministack,
    /// S3 alone, strict about signatures and digests.
    S3s,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// The default network of one region.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Network {
    pub vpc: String,
    pub subnets: Vec<String>,
    pub security_group: String,
}

/// What `setup.py` made.
#[derive(Clone, Debug, Deserialize)]
struct Setup {
    keys: Keys,
    #[serde(default)]
    denied: Option<Keys>,
    #[serde(default)]
    role_arns: BTreeMap<String, String>,
    #[serde(default)]
    networks: BTreeMap<String, Network>,
}

/// A running server that poses as AWS.
#[derive(Debug)]
pub struct Emulator {
    kind: Kind,
    server: Server,
    setup: Setup,
}

impl Kind {
    /// The name by which it is installed, recorded and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Moto => "moto",
            Self::Ministack => "ministack",
            Self::S3s => "s3s-fs",
        }
    }

    fn program(self) -> &'static str {
        match self {
            // Of moto's venv; the server is started by moto_server.py.
            Self::Moto => "bin/python",
            Self::Ministack => "bin/ministack",
            Self::S3s => "bin/s3s-fs",
        }
    }
}

/// A file of this folder.
fn support(file: &str) -> String {
    format!("{}/python/{file}", env!("CARGO_MANIFEST_DIR"))
}

const S3S_KEYS: (&str, &str) = ("AKIAS3STESTACCESSKEY", "s3s-test-secret-access-key");

impl Emulator {
    /// Starts one, with a state of its own; blocks for some seconds. `None` if it is not installed: the test is skipped.
    pub fn start(kind: Kind) -> Option<Self> {
        let program = installed(kind.name(), kind.program())?;
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let server = Server::start(|port, folder| {
            let program = program.clone();
            let port = port.to_string();
            match kind {
                Kind::Moto => Launch {
                    program,
                    arguments: words(&[&support("moto_server.py"), "-H", "127.0.0.1", "-p", &port]),
                    // Its own images are of systems of 2017.
                    environment: vec![("MOTO_AMIS_PATH", support("amis.json"))],
                },
                Kind::Ministack => Launch {
                    program,
                    arguments: vec![],
                    environment: vec![
                        ("BIND_HOST", "127.0.0.1".into()),
                        ("GATEWAY_PORT", port),
                        ("TMPDIR", folder.display().to_string()),
                    ],
                },
                Kind::S3s => {
                    let (access, secret) = S3S_KEYS;
                    std::fs::create_dir(folder.join("objects")).unwrap();
                    let keys = ["--access-key", access, "--secret-key", secret, "objects"];
                    let place = ["--host", "127.0.0.1", "--port", &port];
                    Launch {
                        program,
                        arguments: words(&[&place[..], &keys[..]].concat()),
                        environment: vec![],
                    }
                }
            }
        });
        let setup = match kind {
            Kind::S3s => Setup {
                keys: Keys {
                    access_key_id: S3S_KEYS.0.into(),
                    secret_access_key: S3S_KEYS.1.into(),
                },
                denied: None,
                role_arns: BTreeMap::new(),
                networks: BTreeMap::new(),
            },
            // By boto3, which is in the venv of moto.
            Kind::Moto | Kind::Ministack => set_up(kind, &server)?,
        };
        Some(Self { kind, server, setup })
    }

    /// The one of this test program, started by whoever comes first. Its state is shared: names must differ, and a
    /// count of everything is not yours alone.
    pub fn shared(kind: Kind) -> Option<&'static Self> {
        static SHARED: [OnceLock<Option<Emulator>>; 3] =
            [OnceLock::new(), OnceLock::new(), OnceLock::new()];
        SHARED[kind as usize].get_or_init(|| Self::start(kind)).as_ref()
    }

    /// A proxy in front of it, through which a test talks.
    pub fn proxy(&self) -> Proxy {
        Proxy::start(self.kind.name(), self.server.address())
    }

    /// One call or more of AWS's own client for each protocol, through a proxy in front of this server (moto, which
    /// answers them); what the client printed.
    pub fn boto3(&self, proxy: &Proxy, keys: &Keys) -> Output {
        let subnets = self.network("us-east-1").subnets.join(",");
        Command::new(installed("moto", "bin/python").unwrap())
            .arg(support("boto3_calls.py"))
            .args([&*proxy.url(), &keys.access_key_id, &keys.secret_access_key])
            .args([self.role_arn("multicloud-assume"), &subnets])
            .output()
            .unwrap()
    }

    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Of the user who may do everything.
    pub fn keys(&self) -> &Keys {
        &self.setup.keys
    }

    /// Of the user who may do everything but start instances and create buckets, databases, VPCs and functions.
    /// Only moto has one.
    pub fn denied(&self) -> Option<&Keys> {
        self.setup.denied.as_ref()
    }

    /// Of the roles `multicloud-assume` (which both users may assume), `multicloud-eks`, `multicloud-nodes`,
    /// `multicloud-lambda`. Panics for another name.
    pub fn role_arn(&self, name: &str) -> &str {
        &self.setup.role_arns[name]
    }

    /// The default network of us-east-1, us-west-2, eu-west-1 or eu-central-1. Panics for another region.
    pub fn network(&self, region: &str) -> &Network {
        &self.setup.networks[region]
    }
}

fn set_up(kind: Kind, server: &Server) -> Option<Setup> {
    let output = Command::new(installed("moto", "bin/python")?)
        .arg(support("setup.py"))
        .args([kind.name(), &server.url()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "setup.py failed; the server's log: {}", server.log());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
