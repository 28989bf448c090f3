//! How to connect: host, port, owner, password, and all of it as a URL; tokens of IAM in place of passwords.

use std::sync::Arc;

use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};
use cloud_core::{
    ConnectionInfo, Engine, Error, ErrorKind, ResourceId, ResourceStatus, Result, SecretString,
    Sql, secret::ExposeSecret,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{AwsDatabase, Found};

/// The URL of a database, with TLS required. Whose certificate it is, is not checked: for that the client needs RDS's bundle of
/// [certificates](https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html).
fn url(
    engine: Engine,
    host: &str,
    port: u16,
    user: &str,
    password: Option<&SecretString>,
    database: &str,
) -> SecretString {
    let (scheme, tls) = match engine {
        Engine::Mysql => ("mysql", "ssl-mode=REQUIRED"),
        Engine::SqlServer => ("sqlserver", "encrypt=true"),
        _ => ("postgres", "sslmode=require"),
    };
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let password = password.map(|p| format!(":{}", encode(p.expose_secret()))).unwrap_or_default();
    let (user, database) = (encode(user), encode(database));
    format!("{scheme}://{user}{password}@{host}:{port}/{database}?{tls}").into()
}

impl AwsDatabase {
    /// Host and port of a server that can be connected to.
    fn address(found: &Found) -> Result<(&str, u16)> {
        let usable =
            matches!(found.view.status, ResourceStatus::Running | ResourceStatus::Updating);
        match (&found.view.host, found.view.port) {
            (Some(host), Some(port)) if usable => Ok((host, port)),
            _ => Err(super::not_ready(found)),
        }
    }

    /// By the password, where there is one to be had.
    async fn by_password(&self, found: &Found) -> Result<ConnectionInfo> {
        let (host, port) = Self::address(found)?;
        let login = self.login_of(found).await?;
        let (user, password) = match login {
            Some(login) => (login.user, Some(login.password)),
            None => (found.user.clone(), None),
        };
        Ok(ConnectionInfo {
            engine: found.view.engine,
            host: host.to_owned(),
            port: Some(port),
            database: found.database.clone(),
            url: url(found.view.engine, host, port, &user, password.as_ref(), &found.database),
            user,
            password,
        })
    }

    /// By a token that is good for 15 minutes.
    async fn by_token(&self, found: &Found, user: &str) -> Result<ConnectionInfo> {
        let (host, port) = Self::address(found)?;
        if !found.iam_auth {
            let why = "logins by IAM are not switched on";
            return Err(super::conflict(&found.view.id, why)
                .with_hint("create it with overrides.aws.iam_auth = true"));
        }
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Unauthenticated, format!("no token can be signed: {error}"))
        };
        let config = Config::builder()
            .hostname(host)
            .port(u64::from(port))
            .username(user)
            .expires_in(900)
            .build()
            .map_err(failed)?;
        let sdk = self.account.sdk("rds", &found.view.id.region);
        let token = AuthTokenGenerator::new(config).auth_token(&sdk).await.map_err(failed)?;
        let password = SecretString::from(token.as_str());
        Ok(ConnectionInfo {
            engine: found.view.engine,
            host: host.to_owned(),
            port: Some(port),
            database: found.database.clone(),
            url: url(found.view.engine, host, port, user, Some(&password), &found.database),
            user: user.to_owned(),
            password: Some(password),
        })
    }

    pub(super) async fn connect_to(&self, id: &ResourceId) -> Result<ConnectionInfo> {
        let found = self.find(id).await?;
        match found.iam_auth {
            true => self.by_token(&found, &found.user).await,
            false => self.by_password(&found).await,
        }
    }

    /// How to connect by the owner's password, also where logins by IAM are switched on: they work only once the owner was granted them
    /// (`GRANT rds_iam TO app` on PostgreSQL, `ALTER USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'` on MySQL).
    ///
    /// # Errors
    /// As for [`Database::connection`](cloud_core::Database::connection).
    ///
    /// ```no_run
    /// # use cloud_aws::AwsCloud;
    /// # use cloud_core::{ResourceId, Result};
    /// async fn grant(aws: &AwsCloud, id: &ResourceId) -> Result<()> {
    ///     let owner = aws.aws_database().password_connection(id).await?;
    ///     let sql = cloud_sql::connect(owner.engine, &owner.url).await?;
    ///     sql.execute("GRANT rds_iam TO app", &[]).await.map(drop)
    /// }
    /// ```
    pub async fn password_connection(&self, id: &ResourceId) -> Result<ConnectionInfo> {
        let info = async { self.by_password(&self.find(id).await?).await };
        info.await.map_err(self.account.in_call("database.password_connection"))
    }

    /// How to connect as any user by a token of IAM, which takes a connection for 15 minutes from now; one that is open stays open
    /// ([documentation](https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html)). No request is sent but
    /// the one that looks at the server.
    ///
    /// # Errors
    /// As for [`Database::connection`](cloud_core::Database::connection); [`Conflict`](ErrorKind::Conflict) also if logins by IAM are not
    /// switched on.
    ///
    /// ```no_run
    /// # use cloud_aws::AwsCloud;
    /// # use cloud_core::{ResourceId, Result, SecretString};
    /// async fn log_in(aws: &AwsCloud, id: &ResourceId) -> Result<SecretString> {
    ///     Ok(aws.aws_database().iam_connection(id, "reporting").await?.url)
    /// }
    /// ```
    pub async fn iam_connection(&self, id: &ResourceId, user: &str) -> Result<ConnectionInfo> {
        let info = async {
            cloud_core::check_sql_name("user", user)?;
            self.by_token(&self.find(id).await?, user).await
        };
        info.await.map_err(self.account.in_call("database.iam_connection"))
    }

    /// A pool of connections opens new ones later, when a token has expired: by the password first, where there is one.
    pub(super) async fn open_sql(&self, id: &ResourceId) -> Result<Arc<dyn Sql>> {
        let found = self.find(id).await?;
        if !self.capabilities().engine(found.view.engine)?.sql {
            return Err(Error::unsupported(format_args!("statements on {}", found.view.engine)));
        }
        let info = self.by_password(&found).await?;
        let opened = match &info.password {
            Some(_) => cloud_sql::connect(info.engine, &info.url).await,
            None if found.iam_auth => Err(Error::new(ErrorKind::Unauthenticated, "no password")),
            None => {
                let message = "the password of a server that was made elsewhere is not known here";
                return Err(Error::new(ErrorKind::Unauthenticated, message)
                    .with_hint("AwsDatabase::manage_password has RDS set a new one"));
            }
        };
        match opened {
            Err(error) if found.iam_auth && error.kind() == ErrorKind::Unauthenticated => {
                let info = self.by_token(&found, &found.user).await?;
                cloud_sql::connect(info.engine, &info.url).await
            }
            opened => opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_any_password() {
        let password = SecretString::from("a%41:/?#[]@!$&'()*+,;=~ ü");
        let text = url(Engine::Postgres, "db.example.com", 5432, "app", Some(&password), "orders");
        let parsed = url::Url::parse(text.expose_secret()).unwrap();
        let read = percent_encoding::percent_decode_str(parsed.password().unwrap());
        assert_eq!(read.decode_utf8().unwrap(), password.expose_secret());
        assert_eq!((parsed.host_str(), parsed.port()), (Some("db.example.com"), Some(5432)));
        assert_eq!((parsed.path(), parsed.query()), ("/orders", Some("sslmode=require")));
        let text = url(Engine::Mysql, "h", 3306, "app", None, "app");
        assert_eq!(text.expose_secret(), "mysql://app@h:3306/app?ssl-mode=REQUIRED");
    }
}
