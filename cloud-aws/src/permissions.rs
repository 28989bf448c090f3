//! Which permissions of IAM a call needs: by the table `data/permissions.csv`, which the tests write from what the calls send.

use std::collections::BTreeSet;

use cloud_core::{Error, Result};
use serde_json::{Value, json};

/// `call,action`, ordered. Written by `tests/proof.rs`.
const TABLE: &str = include_str!("../data/permissions.csv");

fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().skip(1).filter_map(|line| line.split_once(','))
}

/// The actions of IAM that a call of a cloud needs, such as `ec2:RunInstances` for `compute.create_instance`; `None` for a call
/// that is not in the table.
///
/// A plan says which calls it makes: `Plan::permissions` of `cloud-patterns`. What roles a call hands on (`iam:PassRole`) and what tags it sets is
/// among them; keys of KMS are not.
///
/// ```
/// let needed = cloud_aws::iam_actions("compute.delete_instance").unwrap();
/// assert!(needed.contains("ec2:TerminateInstances"));
/// assert!(cloud_aws::iam_actions("compute.conjure").is_none());
/// ```
pub fn iam_actions(call: &str) -> Option<BTreeSet<&'static str>> {
    let call = call.strip_suffix("_page").unwrap_or(call);
    let actions: BTreeSet<_> = rows().filter(|(c, _)| *c == call).map(|(_, a)| a).collect();
    (!actions.is_empty()).then_some(actions)
}

/// A policy of IAM that allows these calls and nothing else, on every resource
/// ([the grammar of policies](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html)). Narrow its resources
/// before you attach it to anything that lasts.
///
/// # Errors
/// [`InvalidInput`](cloud_core::ErrorKind::InvalidInput) for a call that is not in the table.
///
/// ```
/// let policy = cloud_aws::iam_policy(["compute.get_instance", "compute.delete_instance"]).unwrap();
/// assert_eq!(policy["Statement"][0]["Effect"], "Allow");
/// assert!(cloud_aws::iam_policy(["compute.conjure"]).is_err());
/// ```
pub fn iam_policy<'a>(calls: impl IntoIterator<Item = &'a str>) -> Result<Value> {
    let mut actions = BTreeSet::new();
    for call in calls {
        let needed = iam_actions(call).ok_or_else(|| {
            Error::invalid(
                "call",
                format_args!("is '{call}'"),
                "a call such as compute.create_instance",
            )
        })?;
        actions.extend(needed);
    }
    Ok(json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_and_each_row_names_a_call_and_an_action() {
        let rows: Vec<_> = rows().collect();
        assert!(rows.len() > 100, "{} rows", rows.len());
        assert!(rows.is_sorted() && rows.iter().collect::<BTreeSet<_>>().len() == rows.len());
        for (call, action) in rows {
            assert!(call.split_once('.').is_some(), "{call}");
            assert!(action.split_once(':').is_some(), "{action}");
        }
    }
}
