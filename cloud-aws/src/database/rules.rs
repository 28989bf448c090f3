//! What RDS says of names and passwords, checked before any call.

use cloud_core::{DatabaseSpec, Engine, Error, Result};

/// Owners and databases that the engines keep for themselves, in small letters
/// ([CreateDBInstance](https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html): "can't be a word
/// reserved by the database engine"; the words are those of the engines' own documentation).
const RESERVED: [(Engine, &[&str], &[&str]); 3] = [
    (
        Engine::Postgres,
        &[
            "admin",
            "public",
            "rds_superuser",
            "rdsadmin",
            "rdsrepladmin",
            "rdstopmgr",
            "rds_iam",
            "none",
            "user",
        ],
        &["rdsadmin", "template0", "template1"],
    ),
    (
        Engine::Mysql,
        &["rdsadmin", "rdsrepladmin", "mysql", "mysql.sys", "root", "event_scheduler"],
        &["information_schema", "innodb", "mysql", "performance_schema", "sys", "tmp"],
    ),
    (Engine::SqlServer, &["rdsa", "rdsadmin", "sa", "public", "guest", "dbo"], &[]),
];

/// The owner's name, and that of the database.
pub(super) fn check_names(spec: &DatabaseSpec) -> Result<()> {
    let (users, databases) = RESERVED
        .iter()
        .find(|(engine, ..)| *engine == spec.engine)
        .map_or((&[][..], &[][..]), |(_, users, databases)| (*users, *databases));
    let longest = if spec.engine == Engine::Mysql { 16 } else { 63 };
    check_name("user", &spec.user, users, longest)?;
    check_name("database", &spec.database, databases, 63)?;
    // RDS makes no database in SQL Server; the default of the spec stands for none.
    if spec.engine == Engine::SqlServer && !matches!(&*spec.database, "app" | "master") {
        let problem = format!("is '{}'", spec.database);
        let accepted = "master; RDS makes no other in SQL Server";
        return Err(Error::invalid("database", problem, accepted));
    }
    Ok(())
}

fn check_name(field: &str, name: &str, reserved: &[&str], longest: usize) -> Result<()> {
    let problem = if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        "does not begin with a letter"
    } else if name.len() > longest {
        "is too long"
    } else if reserved.contains(&&*name.to_ascii_lowercase())
        || (field == "user" && name.to_ascii_lowercase().starts_with("pg_"))
    {
        "is reserved"
    } else {
        return Ok(());
    };
    let accepted = format!("a letter first, at most {longest} characters, no reserved word");
    Err(Error::invalid(field, format_args!("'{name}' {problem}"), accepted))
}

/// The password of an owner; no error shows it.
pub(super) fn check_password(engine: Engine, password: &str) -> Result<()> {
    let most = if engine == Engine::Mysql { 41 } else { 128 };
    let problem = if !(8..=most).contains(&password.len()) {
        "is too short or too long"
    } else if password.chars().any(|c| !c.is_ascii_graphic() || matches!(c, '/' | '"' | '@')) {
        "has a character that RDS does not take"
    } else {
        return Ok(());
    };
    let accepted =
        format!("8 to {most} printable ASCII characters other than '/', '\"', '@' and spaces");
    Err(Error::invalid("password", problem, accepted))
}

#[cfg(test)]
mod tests {
    use cloud_core::Region;

    use super::*;

    #[test]
    fn reserved_and_odd_names_are_refused() {
        let check = |engine, user: &str, database: &str| {
            let mut spec = DatabaseSpec::new("a", Region::new("eu-1").unwrap(), engine);
            (spec.user, spec.database) = (user.into(), database.into());
            check_names(&spec)
        };
        for (engine, user, database) in [
            (Engine::Postgres, "admin", "app"),
            (Engine::Postgres, "rdsadmin", "app"),
            (Engine::Postgres, "pg_x", "app"),
            (Engine::Postgres, "_x", "app"),
            (Engine::Postgres, "app", "_x"),
            (Engine::Postgres, "app", "template0"),
            (Engine::Mysql, "a_name_of_17_sign", "app"),
            (Engine::Mysql, "app", "MySQL"),
            (Engine::SqlServer, "sa", "app"),
            (Engine::SqlServer, "app", "orders"),
        ] {
            assert!(check(engine, user, database).is_err(), "{engine} {user} {database}");
        }
        assert!(check(Engine::Postgres, "postgres", "postgres").is_ok());
        assert!(check(Engine::Mysql, "admin", "app").is_ok());
        assert!(check(Engine::SqlServer, "admin", "app").is_ok());
    }

    #[test]
    fn a_refused_password_is_not_shown() {
        for password in
            ["sh0rt", "with/slash", "with@sign", "with\"quote", "with space", "größe-123"]
        {
            let error = check_password(Engine::Postgres, password).unwrap_err();
            assert!(!error.to_string().contains(password), "{error}");
        }
        assert!(check_password(Engine::Mysql, &"x".repeat(42)).is_err());
        assert!(check_password(Engine::Postgres, &"x".repeat(128)).is_ok());
    }
}
