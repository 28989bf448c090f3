//! From a step's spec with references to a typed spec: plain outputs from the journal, secrets from their cloud.

use cloud_core::{
    Database, Error, ErrorKind, ResourceId, ResourceKind, Result, SecretString,
    secret::ExposeSecret,
};
use serde_json::{Map, Value};

use super::{
    runner::Runner,
    spec::Spec,
    template::{self, Part, Reference},
};
use crate::engine::reference::is_secret;

/// The fields of a spec that may refer to secrets.
const ENVIRONMENTS: [&str; 2] = ["environment", "secret_environment"];

impl Runner<'_> {
    /// The value with its references filled in; those to secrets are refused.
    pub(super) fn fill(&self, value: &Value) -> Result<Value> {
        template::fill(value, &mut |reference| self.plain(reference))
    }

    /// The typed spec of a step, its secrets left out.
    pub(super) fn spec_without_secrets(&self, kind: ResourceKind, spec: &Value) -> Result<Spec> {
        Ok(self.split(kind, spec)?.0)
    }

    /// The typed spec of a step. Secrets are fetched now, and are in the result only.
    pub(super) async fn spec(&self, kind: ResourceKind, spec: &Value) -> Result<Spec> {
        let (mut typed, secrets) = self.split(kind, spec)?;
        for (variable, text) in secrets {
            typed.set_secret(variable.clone(), self.secret_text(text).await?)?;
        }
        Ok(typed)
    }

    /// Takes the variables that refer to secrets out of the spec, and types the rest.
    fn split<'v>(
        &self,
        kind: ResourceKind,
        spec: &'v Value,
    ) -> Result<(Spec, Vec<(&'v String, &'v str)>)> {
        let mut secrets = Vec::new();
        let Some(fields) = spec.as_object() else {
            return Ok((Spec::read(kind, self.fill(spec)?)?, secrets));
        };
        let mut plain = Map::with_capacity(fields.len());
        for (name, field) in fields {
            let filled = match field.as_object() {
                Some(variables) if ENVIRONMENTS.contains(&name.as_str()) => {
                    let mut rest = Map::with_capacity(variables.len());
                    for (variable, value) in variables {
                        match value.as_str() {
                            Some(text) if self.refers_to_secret(text)? => {
                                secrets.push((variable, text));
                            }
                            _ => {
                                rest.insert(variable.clone(), self.fill(value)?);
                            }
                        }
                    }
                    Value::Object(rest)
                }
                _ => self.fill(field)?,
            };
            plain.insert(name.clone(), filled);
        }
        Ok((Spec::read(kind, Value::Object(plain))?, secrets))
    }

    fn refers_to_secret(&self, text: &str) -> Result<bool> {
        if !text.contains("${") {
            return Ok(false);
        }
        let is_secret = |part: &Part<'_>| match part {
            Part::Reference(reference) => self.secret_source(*reference).is_some(),
            Part::Text(_) | Part::Escape => false,
        };
        Ok(template::parse(text)?.iter().any(is_secret))
    }

    fn target(&self, reference: Reference<'_>) -> Result<usize> {
        let found = self.graph.index.get(reference.step);
        found.map(|i| *i as usize).ok_or_else(|| {
            let problem = format!("names the unknown step '{}'", reference.step);
            Error::invalid("reference", problem, "the id of a step of this plan")
        })
    }

    /// The step and the database that a reference to a secret is about; `None` for a plain one.
    fn secret_source(&self, reference: Reference<'_>) -> Option<(usize, ResourceId)> {
        let i = self.target(reference).ok()?;
        let id = self.at(i, |p| p.id.clone())?;
        let secret = is_secret(id.kind, reference.output);
        secret.then_some((i, id))
    }

    fn plain(&self, reference: Reference<'_>) -> Result<String> {
        let Reference { step, output } = reference;
        if self.secret_source(reference).is_some() {
            return Err(Error::invalid(
                "reference",
                format_args!("${{{step}.{output}}} is a secret"),
                "secrets as a variable of environment or secret_environment only",
            ));
        }
        self.at(self.target(reference)?, |progress| {
            progress.outputs.get(output).cloned().ok_or_else(|| {
                let names: Vec<_> = progress.outputs.keys().map(String::as_str).collect();
                Error::invalid(
                    "reference",
                    format_args!("${{{step}.{output}}} names no output of '{step}'"),
                    names.join(", "),
                )
            })
        })
    }

    async fn secret_text(&self, text: &str) -> Result<SecretString> {
        // Sized for the longest of URLs, so that no part of a secret stays behind in memory that was outgrown.
        let mut whole = String::with_capacity(text.len() + 8 * 1024);
        for part in template::parse(text)? {
            match part {
                Part::Text(text) => whole.push_str(text),
                Part::Escape => whole.push_str("${"),
                Part::Reference(reference) => match self.secret_source(reference) {
                    Some((i, id)) => {
                        let databases = self.cloud(&self.plan.steps[i].cloud)?.database()?;
                        let secret = fetch(&*databases, &id, reference.output).await?;
                        whole.push_str(secret.expose_secret());
                    }
                    None => whole.push_str(&self.plain(reference)?),
                },
            }
        }
        Ok(whole.into())
    }
}

async fn fetch(databases: &dyn Database, id: &ResourceId, output: &str) -> Result<SecretString> {
    let connection = databases.connection(id).await?;
    match output {
        "password" => connection.password.ok_or_else(|| {
            let message = format!("{id} is reached without a password");
            Error::new(ErrorKind::InvalidInput, message).with_hint("use its url")
        }),
        _ => Ok(connection.url),
    }
}
