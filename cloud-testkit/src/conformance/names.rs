//! Names, for every kind: what the declared rule allows is accepted, what it does not is refused before any effect.

use cloud_core::{Alphabet, ClientToken, Effect, ErrorKind, NameRule};

use super::{
    Context, Failure, Trial, ensure,
    subject::{Subject, name_rule},
    trial_list,
};

pub(super) fn trials() -> Vec<Trial> {
    trial_list! {
        "longest_name": "the longest name that the rule allows is accepted and comes back whole", |_| true => longest;
        "odd_names": "characters that the rule allows are accepted, all others refused", |_| true => odd;
        "hostile_names": "empty, over-long, control characters and paths are refused without effect", |_| true => hostile;
    }
}

fn rule_of(context: &Context<'_>, subject: &dyn Subject) -> Option<NameRule> {
    name_rule(context.capabilities(), subject.kind())
}

async fn accepted(context: &Context<'_>, subject: &dyn Subject, name: &str) -> Result<(), Failure> {
    let made = subject.create(name, &context.tags(&[])?, &ClientToken::random()).await;
    let made = made.map_err(|e| Failure::new(format!("the name '{name}' is refused: {e:?}")))?;
    context.note(&made.id);
    ensure!(made.name == name, "the name '{name}' becomes '{}'", made.name);
    let got = context.ready(&made.id).await?;
    ensure!(got.name == name, "the name '{name}' reads back as '{}'", got.name);
    Ok(())
}

async fn refused(context: &Context<'_>, subject: &dyn Subject, name: &str) -> Result<(), Failure> {
    let before = context.living().await?.len();
    match subject.create(name, &context.tags(&[])?, &ClientToken::random()).await {
        Ok(made) => {
            context.note(&made.id);
            Err(Failure::new(format!("the name '{}' is accepted", name.escape_debug())))
        }
        Err(error) => {
            let name = name.escape_debug();
            ensure!(
                error.kind() == ErrorKind::InvalidInput,
                "the name '{name}' is refused with {error:?}, not with InvalidInput"
            );
            ensure!(
                error.effect() == Effect::None,
                "refusing the name '{name}' has the effect {:?}",
                error.effect()
            );
            // A peering's other network may have been made on the way; nothing of the kind itself may be.
            let of_kind = |resources: &[cloud_core::Resource]| {
                resources.iter().filter(|r| r.id.kind == subject.kind()).count()
            };
            let after = context.living().await?;
            ensure!(of_kind(&after) <= before, "refusing the name '{name}' left something");
            Ok(())
        }
    }
}

async fn longest(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let Some(rule) = rule_of(context, &*subject) else {
        // A domain: labels of 63, joined by dots.
        let label = format!("{}{}", context.name("a"), "n".repeat(63 - context.name("a").len()));
        return accepted(context, &*subject, &format!("{label}.example.com")).await;
    };
    let start = context.name("a");
    ensure!(
        rule.max >= start.len(),
        "names of {} bytes cannot be told apart; at least {} are needed",
        rule.max,
        start.len()
    );
    let longest = format!("{start}{}", "n".repeat(rule.max - start.len()));
    accepted(context, &*subject, &longest).await?;
    refused(context, &*subject, &format!("{longest}n")).await
}

async fn odd(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let Some(rule) = rule_of(context, &*subject) else {
        return refused(context, &*subject, "größe.example.com").await;
    };
    let good: &[&str] = match rule.alphabet {
        Alphabet::LowerDns => &["a-1-b"],
        Alphabet::LowerDnsDots => &["a-1.b"],
        Alphabet::AsciiWord => &["A-1_b.c"],
        Alphabet::AsciiLabel => &["A-1_b"],
        Alphabet::Any => &["größe", "日本語", "a b", "e\u{301}x", "%2e%2e", "-x", "a'b\"c;d"],
    };
    let bad: &[&str] = match rule.alphabet {
        Alphabet::LowerDns => &["größe", "a b", "A", "a_b", "a.b", "%2e"],
        Alphabet::LowerDnsDots => &["größe", "a b", "A", "a_b", "%2e"],
        Alphabet::AsciiWord => &["größe", "a b", "a%2eb", "a:b", "a'b"],
        Alphabet::AsciiLabel => &["größe", "a b", "a.b", "a:b", "a'b"],
        Alphabet::Any => &[],
    };
    for suffix in good {
        accepted(context, &*subject, &context.name(suffix)).await?;
    }
    for suffix in bad {
        refused(context, &*subject, &context.name(suffix)).await?;
    }
    if rule.alphanumeric_ends {
        refused(context, &*subject, &format!("{}-", context.name("a"))).await?;
        refused(context, &*subject, &format!("-{}", context.name("a"))).await?;
    }
    if rule.min > 1 {
        refused(context, &*subject, &"n".repeat(rule.min - 1)).await?;
    }
    Ok(())
}

async fn hostile(context: &Context<'_>) -> Result<(), Failure> {
    let subject = context.subject().await?;
    let long = "n".repeat(300);
    let names = [
        "",
        " ",
        ".",
        "..",
        "../escape",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "..\\escape",
        "bell\u{7}",
        "line\nbreak",
        "nul\0byte",
        "\u{202e}\n",
        " lead",
        "trail ",
        &long,
    ];
    for name in names {
        refused(context, &*subject, name).await?;
    }
    Ok(())
}
