//! The owner's password: kept by RDS, or in a secret of our own that is made before the server and deleted with it.
//!
//! Our secret is named after the server and the create that made it, which the server's own tag says. So it is found again from the
//! server alone, and a server made anew under an old name does not meet the old one's secret, which stays recoverable for a while.

use aws_sdk_secretsmanager::types::Tag;
use cloud_core::{
    DatabaseSpec, Error, ErrorKind, Region, ResourceId, Result, SecretString, secret::ExposeSecret,
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AwsDatabase, Found, rules, settings::PasswordStore};
use crate::{
    AwsDatabaseServer,
    error::{has_code, reads, writes},
    tokens::Request,
};

/// For how many days a deleted secret can be restored: the least that Secrets Manager has.
const RECOVERY_DAYS: i64 = 7;

/// How a server gets its password.
pub(super) enum Password {
    Managed,
    /// `fresh` says that this attempt made the secret: no earlier one can have made a server with it.
    Ours {
        secret: String,
        password: SecretString,
        fresh: bool,
    },
}

/// What a secret holds, in the form that RDS itself and its Data API use.
#[derive(Serialize, Deserialize)]
struct Content {
    username: String,
    password: String,
}

/// A name and a password, as a secret has them.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: SecretString,
}

/// The name of our secret for a server, by the tag that says how it was made.
pub(super) fn secret_name(native: &str, request: &str) -> String {
    let native = native.replace(':', "/");
    format!("multicloud/database/{native}/{request}")
}

/// 30 letters, digits and signs that need no quoting anywhere, with one of each class, as SQL Server wants.
fn generate() -> SecretString {
    const CLASSES: [&[u8]; 4] =
        [b"abcdefghijkmnopqrstuvwxyz", b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"23456789", b"-_.~"];
    let all = CLASSES.concat();
    let mut random = rand::rng();
    let mut signs: Vec<u8> = CLASSES.iter().map(|c| c[random.random_range(..c.len())]).collect();
    while signs.len() < 30 {
        signs.push(all[random.random_range(..all.len())]);
    }
    // The first four are not always of those classes.
    for i in (1..signs.len()).rev() {
        signs.swap(i, random.random_range(..=i));
    }
    String::from_utf8_lossy(&signs).into_owned().into()
}

/// The password that the spec gives, if it does. A file may be slow, so it is read beside the runtime's threads.
async fn given(spec: &DatabaseSpec) -> Result<Option<SecretString>> {
    let Some(reference) = spec.password.clone() else {
        return Ok(None);
    };
    let read = tokio::task::spawn_blocking(move || reference.resolve()).await;
    let read = read.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
    read.map(Some).map_err(|e| e.context("password"))
}

impl AwsDatabase {
    /// Sees to the password of a server that is about to be made. A repeated create finds the secret of the first.
    pub(super) async fn prepare_password(
        &self,
        spec: &DatabaseSpec,
        settings: &AwsDatabaseServer,
        native: &str,
        request: &Request,
        tags: &[(String, String)],
    ) -> Result<Password> {
        if settings.password_store(spec) == PasswordStore::Managed {
            return Ok(Password::Managed);
        }
        let password = given(spec).await?.unwrap_or_else(generate);
        rules::check_password(spec.engine, password.expose_secret())?;
        let secret = secret_name(native, &request.tag());
        let login = Login { user: spec.user.clone(), password };
        let key = settings.secret_kms_key.as_deref();
        self.keep(&spec.region, secret, login, key, tags).await
    }

    /// Keeps a password under a name, or answers the one that is kept there already.
    pub(super) async fn keep(
        &self,
        region: &Region,
        name: String,
        login: Login,
        kms_key: Option<&str>,
        tags: &[(String, String)],
    ) -> Result<Password> {
        let content =
            Content { username: login.user, password: login.password.expose_secret().to_owned() };
        let content = serde_json::to_string(&content)
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let client = self.account.secretsmanager(region)?;
        let made = client
            .create_secret()
            .name(&name)
            .client_request_token(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string())
            .description("The owner's password of a database server")
            .secret_string(content)
            .set_kms_key_id(kms_key.map(str::to_owned))
            .set_tags(Some(
                tags.iter().map(|(k, v)| Tag::builder().key(k).value(v).build()).collect(),
            ))
            .send()
            .await
            .map_err(writes("secretsmanager"));
        match made {
            Ok(_) => {
                return Ok(Password::Ours { secret: name, password: login.password, fresh: true });
            }
            // Deleted when an earlier attempt failed, and not gone yet.
            Err(error) if has_code(&error, &["InvalidRequestException"]) => {
                let restored = client.restore_secret().secret_id(&name).send().await;
                restored.map_err(writes("secretsmanager")).map_err(|_| error)?;
            }
            Err(error) if has_code(&error, &["ResourceExistsException"]) => {}
            Err(error) => return Err(error),
        }
        match self.login(region, &name).await? {
            Some(login) => {
                Ok(Password::Ours { secret: name, password: login.password, fresh: false })
            }
            None => {
                Err(Error::new(ErrorKind::Conflict, "the secret of the password is being deleted"))
            }
        }
    }

    /// What a secret holds; `None` if there is no such secret.
    pub(super) async fn login(&self, region: &Region, secret: &str) -> Result<Option<Login>> {
        let client = self.account.secretsmanager(region)?;
        let answer = client.get_secret_value().secret_id(secret).send().await;
        let text = match answer.map_err(reads("secretsmanager")) {
            Ok(answer) => answer.secret_string().unwrap_or_default().to_owned(),
            // The second is what one that is scheduled for deletion answers.
            Err(error)
                if has_code(&error, &["ResourceNotFoundException", "InvalidRequestException"]) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // What cannot be read may be the secret itself: the error shows nothing of it.
        let content: Content = serde_json::from_str(&text).map_err(|_| {
            let message = "the secret of the password is not {\"username\": …, \"password\": …}";
            Error::new(ErrorKind::Corrupt, message)
        })?;
        Ok(Some(Login { user: content.username, password: content.password.into() }))
    }

    /// The secret that holds a server's password: RDS's, or else ours, which may not be there.
    pub(super) fn secret_of(found: &Found) -> Option<String> {
        let ours = || Some(secret_name(found.view.id.native(), found.request.as_deref()?));
        found.managed_secret.clone().or_else(ours)
    }

    /// Owner and password of a server; `None` if it was made elsewhere, without a secret.
    pub(super) async fn login_of(&self, found: &Found) -> Result<Option<Login>> {
        match Self::secret_of(found) {
            Some(secret) => self.login(&found.view.id.region, &secret).await,
            None => Ok(None),
        }
    }

    /// Takes back a secret that this attempt made and whose server was not made. Nothing is lost with it; a failure leaves it for the
    /// next attempt.
    pub(super) async fn undo_password(&self, region: &Region, password: &Password) {
        let Password::Ours { secret, fresh: true, .. } = password else {
            return;
        };
        let Ok(client) = self.account.secretsmanager(region) else {
            return;
        };
        let undone =
            client.delete_secret().secret_id(secret).force_delete_without_recovery(true).send();
        if let Err(error) = undone.await.map_err(writes("secretsmanager")) {
            tracing::warn!(%error, secret, "the secret of a server that was not made is still there");
        }
    }

    /// Deletes our secret of a server that is gone or going, recoverable for seven days.
    pub(super) async fn discard_password(&self, found: &Found) -> Result<()> {
        let Some(request) = found.request.as_deref().filter(|_| found.managed_secret.is_none())
        else {
            return Ok(());
        };
        let id = &found.view.id;
        let deleted = self
            .account
            .secretsmanager(&id.region)?
            .delete_secret()
            .secret_id(secret_name(id.native(), request))
            .recovery_window_in_days(RECOVERY_DAYS)
            .send()
            .await;
        match deleted.map_err(writes("secretsmanager")) {
            Err(error)
                if !has_code(&error, &["ResourceNotFoundException", "InvalidRequestException"]) =>
            {
                Err(error.context("the server is being deleted, the secret of its password is not"))
            }
            _ => Ok(()),
        }
    }

    /// Gives a replica a secret of its own with its primary's password, so that it can be connected to, also once it is promoted.
    pub(super) async fn copy_password(
        &self,
        source: &Found,
        replica: &ResourceId,
        request: &Request,
        tags: &[(String, String)],
    ) -> Result<Option<Password>> {
        let Some(login) = self.login_of(source).await? else {
            return Ok(None);
        };
        let secret = secret_name(replica.native(), &request.tag());
        self.keep(&replica.region, secret, login, None, tags).await.map(Some)
    }

    /// Has RDS set a new password, keep it in Secrets Manager and change it every seven days from now on: for servers whose password
    /// nobody knows here, such as a cluster that was restored from a snapshot. A server of this kind cannot have read replicas.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Conflict`](ErrorKind::Conflict) while it is not ready, or any.
    ///
    /// ```no_run
    /// # use cloud_aws::AwsCloud;
    /// # use cloud_core::{Database, ResourceId, Result};
    /// async fn reach(aws: &AwsCloud, restored: &ResourceId) -> Result<()> {
    ///     aws.aws_database().manage_password(restored).await?;
    ///     aws.aws_database().connection(restored).await.map(drop)
    /// }
    /// ```
    pub async fn manage_password(&self, id: &ResourceId) -> Result<()> {
        let managed = async {
            let found = self.find(id).await?;
            let client = self.account.rds(&id.region)?;
            match found.view.id.native().strip_prefix(super::found::CLUSTER) {
                Some(cluster) => {
                    let call = client.modify_db_cluster().db_cluster_identifier(cluster);
                    let call = call.manage_master_user_password(true).apply_immediately(true);
                    call.send().await.map_err(writes("rds")).map(drop)
                }
                None => {
                    let call = client.modify_db_instance().db_instance_identifier(id.native());
                    let call = call.manage_master_user_password(true).apply_immediately(true);
                    call.send().await.map_err(writes("rds")).map(drop)
                }
            }?;
            self.discard_password(&found).await
        };
        managed.await.map_err(self.account.in_call("database.manage_password"))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Managed => f.write_str("Managed"),
            Self::Ours { secret, .. } => write!(f, "Ours({secret})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use cloud_core::Engine;

    use super::*;

    #[test]
    fn generated_passwords_are_such_as_every_engine_takes() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let password = generate();
            let text = password.expose_secret();
            assert_eq!(text.len(), 30);
            for engine in [Engine::Postgres, Engine::Mysql, Engine::SqlServer] {
                rules::check_password(engine, text).unwrap();
            }
            assert!(text.contains(|c: char| c.is_ascii_lowercase()));
            assert!(text.contains(|c: char| c.is_ascii_uppercase()));
            assert!(text.contains(|c: char| c.is_ascii_digit()));
            assert!(text.contains(['-', '_', '.', '~']));
            assert!(seen.insert(text.to_owned()));
        }
    }

    #[test]
    fn no_password_gets_into_debug() {
        let password =
            Password::Ours { secret: "name".into(), password: "hunter2".into(), fresh: true };
        assert!(!format!("{password:?}").contains("hunter2"));
    }
}
