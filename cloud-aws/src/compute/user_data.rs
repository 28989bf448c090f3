//! User data: the caller's own document, and a script that starts the command as a service, combined where there are both.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use cloud_core::{Error, ErrorKind, InstanceSpec, Result, secret::ExposeSecret};

/// The most bytes that EC2 takes, before they are encoded.
const MOST: usize = 16 * 1024;

/// The first lines by which cloud-init tells documents apart, and their MIME types
/// ([User-data formats](https://docs.cloud-init.io/en/latest/explanation/format.html)).
const FORMATS: [(&str, &str); 8] = [
    ("#!", "text/x-shellscript"),
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config", "text/cloud-config"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#part-handler", "text/part-handler"),
    ("## template: jinja", "text/jinja2"),
];

/// The user data of an instance, encoded for the request. Reads its secrets; dropped, it has had no effect.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for an environment without a command, names that no shell takes, a port of 0, a
/// secret that cannot be read, a document that cannot be combined with a command, or more than 16 KiB.
pub(super) async fn of(spec: &InstanceSpec) -> Result<Option<String>> {
    check(spec)?;
    if spec.command.is_empty() {
        return Ok(spec.user_data.as_ref().map(|own| BASE64_STANDARD.encode(own)));
    }
    let mut environment = spec.environment.clone();
    environment.extend(spec.ports.iter().map(|(name, port)| (name.clone(), port.to_string())));
    environment.extend(secrets(spec).await?);
    let script = script(&spec.command, &environment);
    let document = match &spec.user_data {
        None => script,
        Some(own) => combined(own, &script)?,
    };
    if document.len() > MOST {
        return Err(Error::invalid(
            "user_data",
            format_args!("has {} bytes with command and environment", document.len()),
            format_args!("at most {MOST} in all"),
        ));
    }
    Ok(Some(BASE64_STANDARD.encode(document)))
}

/// What can be refused before anything is read.
pub(super) fn check(spec: &InstanceSpec) -> Result<()> {
    let variables = [
        ("environment", spec.environment.keys().next()),
        ("secret_environment", spec.secret_environment.keys().next()),
        ("ports", spec.ports.keys().next()),
    ];
    if spec.command.is_empty()
        && let Some((field, name)) =
            variables.iter().find_map(|(field, name)| Some((field, (*name)?)))
    {
        return Err(Error::invalid(
            &format!("{field}.{name}"),
            "is set, but there is no command to tell it to",
            "a command, or none",
        ));
    }
    for (field, names) in [
        ("environment", spec.environment.keys().collect::<Vec<_>>()),
        ("secret_environment", spec.secret_environment.keys().collect()),
        ("ports", spec.ports.keys().collect()),
    ] {
        if let Some(name) = names.into_iter().find(|name| !is_variable(name)) {
            return Err(Error::invalid(
                &format!("{field}.{}", name.escape_debug()),
                "is no variable of a shell",
                "ASCII letters, digits and '_', no digit first",
            ));
        }
    }
    match spec.ports.iter().find(|(_, port)| **port == 0) {
        Some((name, _)) => Err(Error::invalid(
            &format!("ports.{name}"),
            "is 0, but an instance shares its host's ports with no other",
            "1 to 65535",
        )),
        None => Ok(()),
    }
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The secret part of the environment. A file may be slow, so it is read beside the runtime's threads.
async fn secrets(spec: &InstanceSpec) -> Result<BTreeMap<String, String>> {
    let references = spec.secret_environment.clone();
    if references.is_empty() {
        return Ok(BTreeMap::new());
    }
    let read = tokio::task::spawn_blocking(move || {
        references
            .into_iter()
            .map(|(name, secret)| {
                let value = secret
                    .resolve()
                    .map_err(|e| e.context(format_args!("secret_environment.{name}")))?;
                let value = value.expose_secret();
                match value.contains('\0') {
                    true => Err(Error::invalid(
                        &format!("secret_environment.{name}"),
                        "contains a NUL character",
                        "any other",
                    )),
                    false => Ok((name, value.to_owned())),
                }
            })
            .collect()
    });
    read.await.map_err(|e| {
        Error::new(ErrorKind::Internal, e.to_string()).with_effect(cloud_core::Effect::None)
    })?
}

/// A word that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The program that the service runs: the environment, then the command in its place.
fn program(command: &[String], environment: &BTreeMap<String, String>) -> String {
    let exports: String = environment
        .iter()
        .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
        .collect();
    let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
    format!("#!/bin/sh\n{exports}exec {}\n", words.join(" "))
}

/// The script that cloud-init runs at the first boot. It installs the command as a service, which then starts at every boot,
/// and whose output goes to the journal and the console. Only root can read the program, as secrets may be in it.
fn script(command: &[String], environment: &BTreeMap<String, String>) -> String {
    let unit = "[Unit]
Description=The command of this instance
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/var/lib/multicloud/command
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
";
    format!(
        "#!/bin/sh
set -eu
umask 077
mkdir -p /var/lib/multicloud
printf '%s' {} > /var/lib/multicloud/command
chmod 700 /var/lib/multicloud/command
printf '%s' {} > /etc/systemd/system/multicloud-command.service
chmod 644 /etc/systemd/system/multicloud-command.service
systemctl daemon-reload
systemctl enable multicloud-command.service
systemctl start --no-block multicloud-command.service
",
        quoted(&program(command, environment)),
        quoted(unit),
    )
}

/// Both documents as one, in the order of their parts.
fn combined(own: &str, script: &str) -> Result<String> {
    let parts = [part_of(own)?, part("text/x-shellscript", script)];
    let boundary = (0..)
        .map(|n| format!("multicloud-part-{n}"))
        .find(|boundary| parts.iter().all(|part| !part.contains(boundary)))
        .unwrap_or_default();
    let mut document =
        format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n");
    for part in parts {
        document += &format!("--{boundary}\n{part}\n");
    }
    Ok(document + &format!("--{boundary}--\n"))
}

/// The caller's document as a part, by what its first line says it is.
fn part_of(own: &str) -> Result<String> {
    let lower = own.get(..13).map(str::to_ascii_lowercase);
    if lower.is_some_and(|start| start == "content-type:" || start == "mime-version:") {
        // A part is headers and a body, which such a document is already.
        return Ok(own.to_owned());
    }
    match FORMATS.iter().find(|(start, _)| own.starts_with(start)) {
        Some((_, kind)) => Ok(part(kind, own)),
        None => {
            let starts: Vec<_> = FORMATS.iter().map(|(start, _)| *start).collect();
            Err(Error::invalid(
                "user_data",
                "begins with nothing that cloud-init knows, so no command can be added to it",
                format_args!("a document that begins with {}", starts.join(", ")),
            ))
        }
    }
}

fn part(kind: &str, text: &str) -> String {
    let head = format!("Content-Type: {kind}; charset=\"utf-8\"\nMIME-Version: 1.0\n");
    if text.is_ascii() {
        return format!("{head}Content-Transfer-Encoding: 7bit\n\n{text}");
    }
    let encoded = BASE64_STANDARD.encode(text);
    let lines: Vec<_> = encoded.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
    format!("{head}Content-Transfer-Encoding: base64\n\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use cloud_core::{Region, SecretRef};
    use proptest::prelude::*;

    use super::*;

    fn spec(command: &[&str]) -> InstanceSpec {
        let mut spec = InstanceSpec::new("web", Region::new("eu-central-1").unwrap());
        spec.command = command.iter().map(|word| (*word).to_owned()).collect();
        spec
    }

    async fn document(spec: &InstanceSpec) -> String {
        let encoded = of(spec).await.unwrap().unwrap();
        String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// The shell of this machine is the judge.
        #[test]
        fn a_shell_gives_the_command_its_words_and_its_environment(
            words in prop::collection::vec("[^\\x00]{0,12}", 0..4),
            value in "[^\\x00]{0,20}",
        ) {
            let mut command = vec!["printf".to_owned(), "%s\\0".to_owned()];
            command.extend(words.iter().cloned());
            command.push("end".into());
            let environment = BTreeMap::from([("VALUE".to_owned(), value.clone())]);
            let program = program(&command, &environment);
            // As the script writes it into its file.
            let written = Command::new("sh").args(["-c", &format!("printf '%s' {}", quoted(&program))]).output().unwrap();
            prop_assert_eq!(String::from_utf8(written.stdout).unwrap(), program.clone());
            let output = Command::new("sh").args(["-c", &program]).output().unwrap();
            let wanted: String = words.iter().chain([&"end".to_owned()]).map(|w| format!("{w}\0")).collect();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted);
            let shown = super::program(&["sh".into(), "-c".into(), "printf '%s' \"$VALUE\"".into()], &environment);
            let output = Command::new("sh").args(["-c", &shown]).output().unwrap();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
        }
    }

    #[tokio::test]
    async fn ports_and_secrets_are_in_the_environment_and_nowhere_else() {
        let mut spec = spec(&["/usr/bin/web"]);
        spec.environment.insert("HOST".into(), "::".into());
        spec.ports.insert("PORT".into(), 8080);
        spec.secret_environment.insert("PASSWORD".into(), SecretRef::Value("hunter2".into()));
        let document = document(&spec).await;
        for (name, value) in [("HOST", "::"), ("PORT", "8080"), ("PASSWORD", "hunter2")] {
            // Quoted once for the program and once more for the script.
            assert!(document.contains(&format!(r"export {name}='\''{value}'\''")), "{document}");
        }
        assert!(Command::new("sh").args(["-n", "-c", &document]).status().unwrap().success());
    }

    /// As cloud-init reads it, with the same module of Python.
    fn parts(document: &str) -> Vec<(String, String)> {
        let read = r"
import email, json, sys
message = email.message_from_string(sys.stdin.read())
parts = [p for p in message.walk() if p.get_content_maintype() != 'multipart']
json.dump([(p.get_content_type(), p.get_payload(decode=True).decode()) for p in parts], sys.stdout)
";
        let mut python = Command::new("python3")
            .args(["-c", read])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut python.stdin.take().unwrap(), document.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[tokio::test]
    async fn a_document_of_the_callers_comes_before_the_command() {
        for (own, kind) in [
            ("#cloud-config\npackages: [nginx]\n", "text/cloud-config"),
            ("#!/bin/bash\necho größe multicloud-part-0\n", "text/x-shellscript"),
            (
                "#include-once\nhttps://2.zoppoz.workers.dev:443/https/example.com/a\n",
                "text/x-include-once-url",
            ),
        ] {
            let mut spec = spec(&["/usr/bin/web"]);
            spec.user_data = Some(own.into());
            let parts = parts(&document(&spec).await);
            assert_eq!(parts.len(), 2);
            assert_eq!((&*parts[0].0, parts[0].1.trim_end()), (kind, own.trim_end()));
            assert_eq!(parts[1].0, "text/x-shellscript");
            assert!(parts[1].1.contains("multicloud-command.service"));
        }
        let nested = combined("#cloud-config\n{}\n", "#!/bin/sh\necho inner\n").unwrap();
        let mut spec = spec(&["/usr/bin/web"]);
        spec.user_data = Some(nested);
        let kinds: Vec<_> =
            parts(&document(&spec).await).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["text/cloud-config", "text/x-shellscript", "text/x-shellscript"]);
    }

    #[tokio::test]
    async fn what_cannot_be_said_in_user_data_is_refused_by_its_field() {
        let refused = async |change: fn(&mut InstanceSpec)| {
            let mut spec = spec(&["/usr/bin/web"]);
            change(&mut spec);
            let error = of(&spec).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            error.to_string()
        };
        let zero = refused(|spec| spec.ports = BTreeMap::from([("PORT".into(), 0)])).await;
        assert!(zero.contains("ports.PORT"), "{zero}");
        let name = refused(|spec| drop(spec.environment.insert("a.b".into(), "x".into()))).await;
        assert!(name.contains("environment.a.b"), "{name}");
        let alone = refused(|spec| {
            spec.command.clear();
            spec.environment.insert("HOST".into(), "x".into());
        })
        .await;
        assert!(alone.contains("environment.HOST"), "{alone}");
        let large =
            refused(|spec| drop(spec.environment.insert("A".into(), "x".repeat(MOST)))).await;
        assert!(large.contains("at most 16384"), "{large}");
        let unknown = refused(|spec| spec.user_data = Some("hello".into())).await;
        assert!(unknown.contains("#cloud-config"), "{unknown}");
        let secret = refused(|spec| {
            let nowhere = SecretRef::File("/no/such/file".into());
            spec.secret_environment.insert("PASSWORD".into(), nowhere);
        })
        .await;
        assert!(secret.contains("secret_environment.PASSWORD"), "{secret}");
    }

    #[tokio::test]
    async fn without_a_command_the_callers_document_is_untouched() {
        let mut spec = spec(&[]);
        assert_eq!(of(&spec).await.unwrap(), None);
        spec.user_data = Some("<powershell>größe</powershell>".into());
        assert_eq!(document(&spec).await, "<powershell>größe</powershell>");
    }
}
