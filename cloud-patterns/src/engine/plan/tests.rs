//! The shape of plans, their views, and the limit to what they change.

use cloud_core::{ErrorKind, Region};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn cloud() -> CloudId {
    CloudId::new("sim").unwrap()
}

fn create(id: &str, depends_on: &[&str]) -> Step {
    Step {
        id: id.into(),
        component: id.into(),
        cloud: cloud(),
        action: Action::Create {
            kind: ResourceKind::Bucket,
            spec: json!({"name": id, "region": "sim-1"}),
        },
        depends_on: depends_on.iter().map(|d| (*d).to_owned()).collect(),
        monthly_cost: None,
    }
}

fn delete(id: &str) -> Step {
    let action = Action::Delete {
        id: format!("bucket/sim-1/{id}").parse().unwrap(),
        options: DeleteOptions::default(),
    };
    Step { action, ..create(id, &[]) }
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        id: "p1".into(),
        deployment: "shop".into(),
        purpose: "deploy shop".into(),
        created_at: Timestamp::UNIX_EPOCH,
        steps,
        choices: Vec::new(),
    }
}

fn problem(steps: Vec<Step>) -> String {
    let error = plan(steps).validate().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.message().to_owned()
}

#[test]
fn the_shape_is_checked() {
    plan(vec![create("a", &[]), create("b", &["a"])]).validate().unwrap();
    assert!(problem(vec![create("a", &[]), create("a", &[])]).contains("steps[1].id is 'a'"));
    assert!(problem(vec![create("a", &["x"])]).contains("unknown step 'x'"));
    assert!(problem(vec![create("A", &[])]).contains("steps[0].id is 'A'"));
    assert!(problem(vec![create(&"a".repeat(64), &[])]).contains("1 to 63"));
    let mut referring = create("a", &[]);
    referring.action =
        Action::Create { kind: ResourceKind::Bucket, spec: json!({"name": "${b.id}"}) };
    assert!(problem(vec![referring.clone()]).contains("unknown step 'b'"));
    let cycle = problem(vec![referring, create("c", &[]), create("b", &["a", "c"])]);
    assert!(cycle.contains("a needs b needs a"), "{cycle}");
    let known = plan(vec![create("a", &[])]);
    assert!(known.validate_for(&BTreeSet::from([cloud()])).is_ok());
    let error = known.validate_for(&BTreeSet::from([CloudId::new("aws").unwrap()])).unwrap_err();
    assert!(error.message().contains("'sim', which is not registered; accepted: aws"), "{error}");
}

#[test]
fn a_hundred_thousand_steps_in_a_chain_are_checked_without_recursion() {
    let steps = (0..100_000).map(|i| {
        let before = format!("s{}", i - 1);
        create(&format!("s{i}"), if i == 0 { vec![] } else { vec![&*before] }.as_slice())
    });
    let mut chain = plan(steps.collect());
    chain.validate().unwrap();
    chain.steps[0].depends_on = vec!["s99999".into()];
    let error = chain.validate().unwrap_err();
    assert!(error.message().len() < 300, "{error}");
}

#[test]
fn the_limit_is_on_and_names_how_to_raise_it() {
    let limit = BlastRadiusLimit::default();
    let creates = |n: usize| plan((0..n).map(|i| create(&format!("s{i}"), &[])).collect());
    limit.check(&creates(100), 0).unwrap();
    let error = limit.check(&creates(101), 0).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::PolicyDenied, Some("blast_radius")));
    let text = error.to_string();
    assert!(text.contains("makes 101 changes; max_changes is 100"), "{text}");
    assert!(text.contains("raise max_changes (limits.max_changes in the workload)"), "{text}");
    let deletes = |n: usize| plan((0..n).map(|i| delete(&format!("s{i}"))).collect());
    limit.check(&deletes(2), 4).unwrap();
    let error = limit.check(&deletes(3), 4).unwrap_err();
    assert!(
        error
            .message()
            .contains("deletes 3 of 4 resources, a share of 0.75; max_deleted_share is 0.5"),
        "{error}"
    );
    limit.clone().for_destroy().check(&deletes(200), 200).unwrap();
    assert!(limit.check(&deletes(51), 1000).unwrap_err().message().contains("max_deletes is 50"));
    let mut dear = creates(1);
    dear.steps[0].monthly_cost = Some(Money::usd("100.01".parse().unwrap()));
    let most = BlastRadiusLimit { max_monthly_cost: Some(Money::usd(100.into())), ..limit };
    let error = most.check(&dear, 0).unwrap_err();
    assert!(
        error.message().contains("adds 100.01 USD a month; max_monthly_cost is 100 USD"),
        "{error}"
    );
    assert!(BlastRadiusLimit { max_deleted_share: f64::NAN, ..most }.validate().is_err());
}

#[test]
fn what_is_only_referred_to_is_no_change() {
    let mut refer = create("db", &[]);
    refer.action = Action::Refer { id: "database/sim-1/db".parse().unwrap() };
    let radius = plan(vec![refer]).blast_radius(10);
    assert_eq!((radius.changes(), radius.refers, radius.deleted_share()), (0, 1, 0.0));
}

#[test]
fn permissions_cover_undo_and_look_up() {
    let mut web = create("web", &[]);
    web.action = Action::Create {
        kind: ResourceKind::Instance,
        spec: json!({"secret_environment": {"URL": "${db.url}"}}),
    };
    let mut table = create("t", &[]);
    table.action = Action::Call { handler: "create_table".into(), input: json!({}) };
    let mut own = create("x", &[]);
    own.action = Action::Call { handler: "mine".into(), input: json!({}) };
    let permissions = plan(vec![web, table, own, delete("old")]).permissions();
    let calls: Vec<_> = permissions[&cloud()].iter().map(String::as_str).collect();
    assert_eq!(
        calls,
        [
            "compute.create_instance",
            "compute.delete_instance",
            "compute.get_instance",
            "compute.list_instances",
            "database.connection",
            "database.sql",
            "handler:mine",
            "sql.create_table",
            "sql.execute",
            "storage.delete_bucket",
            "storage.get_bucket",
        ]
    );
}

fn shown() -> Plan {
    let mut web = create("web", &["assets"]);
    web.monthly_cost = Some(Money::usd("7.304".parse().unwrap()));
    let mut plan = plan(vec![create("assets", &[]), web]);
    let place = |region: &str| Location::new(cloud(), Region::new(region).unwrap());
    plan.choices.push(Choice {
        component: "web".into(),
        places: vec![place("sim-1")],
        why: "the least cost of the places that suit".into(),
        monthly_cost: Some(Money::usd("7.304".parse().unwrap())),
        rejected: vec![Rejection {
            place: place("sim-2"),
            why: "dearer: 3 USD a month more".into(),
        }],
        figures: BTreeMap::from([("instance type".to_owned(), "small".to_owned())]),
    });
    plan
}

#[test]
fn the_table_says_it_all() {
    let table = shown().to_table_in(160);
    for part in [
        "deploy shop: 2 steps on 1 cloud (2 create), 7.30 USD a month and 1 resource without a known price",
        "create bucket",
        "sim-1",
        "7.30 USD",
        "depends on",
        "not sim/sim-2",
        "dearer: 3 USD a month more",
        "instance type: small",
        "create_bucket, delete_bucket",
        "2 changes: 2 to create, 0 to delete",
    ] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    assert!(plan(Vec::new()).to_string().contains("nothing to do"));
}

#[test]
fn tables_keep_to_their_width() {
    for width in [100, 140] {
        let table = crate::testing::tests::sixteen_steps("wide").to_table_in(width);
        let rows = table.lines().filter(|line| line.starts_with('│'));
        let longest = rows.map(|row| row.chars().count()).max();
        assert!(longest.is_some());
        assert!(longest <= Some(usize::from(width)), "{table}");
    }
}

#[test]
fn json_reads_back() {
    let plan = shown();
    assert_eq!(serde_json::from_str::<Plan>(&plan.to_json().unwrap()).unwrap(), plan);
}

#[test]
fn graphs_are_what_their_languages_expect() {
    let plan = shown();
    assert_eq!(
        plan.to_mermaid(),
        "flowchart TD\n    n0[\"assets<br/>create bucket @ sim/sim-1\"]\n    n1[\"web<br/>create bucket @ sim/sim-1\"]\n    n0 --> n1\n"
    );
    assert_eq!(
        plan.to_dot(),
        "digraph plan {\n    rankdir=TB;\n    node [shape=box];\n    n0 [label=\"assets\\ncreate bucket @ sim/sim-1\"];\n    n1 [label=\"web\\ncreate bucket @ sim/sim-1\"];\n    n0 -> n1;\n}\n"
    );
}

/// Reads the labels out of a DOT text as Graphviz' own grammar would: fails on anything that is not one statement a line.
fn dot_labels(text: &str) -> Option<Vec<String>> {
    let body = text
        .strip_prefix("digraph plan {\n    rankdir=TB;\n    node [shape=box];\n")?
        .strip_suffix("}\n")?;
    let mut labels = Vec::new();
    for line in body.lines() {
        let Some(rest) = line.split_once(" [label=\"").map(|(_, rest)| rest) else {
            continue;
        };
        let inner = rest.strip_suffix("\"];")?;
        let (mut label, mut chars) = (String::new(), inner.chars());
        while let Some(c) = chars.next() {
            match c {
                '"' => return None,
                '\\' => match chars.next()? {
                    'n' => label.push('\n'),
                    c @ ('"' | '\\') => label.push(c),
                    _ => return None,
                },
                c => label.push(c),
            }
        }
        labels.push(label);
    }
    Some(labels)
}

/// The same for Mermaid: text in quotes without quotes, characters as codes.
fn mermaid_labels(text: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    for line in text.strip_prefix("flowchart TD\n")?.lines() {
        let Some((_, rest)) = line.split_once("[\"") else {
            continue;
        };
        let mut label = String::new();
        let mut rest = rest.strip_suffix("\"]")?;
        if rest.contains('"') {
            return None;
        }
        while let Some((before, after)) = rest.split_once('#') {
            let (code, after) = after.split_once(';')?;
            label.push_str(before);
            label.push(char::from_u32(code.parse().ok()?)?);
            rest = after;
        }
        labels.push(label + rest);
    }
    Some(labels)
}

/// Control characters cannot be shown; all else is.
fn visible(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\"\\[\\](){}<>|;#&%\\\\`'\n\r\t\u{1b} a-z-]{0,24}",
        "\\PC{0,12}",
        Just("\"]; click n0 call alert()".to_owned()),
        Just("\"; } digraph x { \"".to_owned()),
        Just("%%{init: {}}%%\nend".to_owned()),
        Just("#quot;<script>".to_owned()),
    ]
}

proptest! {
    #[test]
    fn no_name_breaks_a_view(names in proptest::collection::vec(hostile(), 1..5), purpose in hostile()) {
        let steps: Vec<_> = names.iter().map(|name| create(name, &[])).collect();
        let mut plan = plan(steps);
        plan.purpose = purpose;
        let dot = plan.to_dot();
        let labels = dot_labels(&dot);
        prop_assert!(labels.is_some(), "{dot}");
        for (label, name) in labels.unwrap().iter().zip(&names) {
            let expected = format!("{}\ncreate bucket @ sim/sim-1", visible(name));
            prop_assert_eq!(label, &expected);
        }
        let mermaid = plan.to_mermaid();
        let labels = mermaid_labels(&mermaid);
        prop_assert!(labels.is_some(), "{mermaid}");
        for (label, name) in labels.unwrap().iter().zip(&names) {
            let expected = format!("{}<br/>create bucket @ sim/sim-1", visible(name));
            prop_assert_eq!(label, &expected);
        }
        prop_assert!(plan.to_table_in(100).chars().all(|c| c == '\n' || !c.is_control()));
        prop_assert!(!plan.to_string().contains('\n'));
    }

    #[test]
    fn a_cycle_is_found_exactly_if_there_is_one(edges in proptest::collection::vec((0u32..12, 0u32..12), 0..24)) {
        let mut needs = vec![Vec::new(); 12];
        for (from, to) in &edges {
            needs[*from as usize].push(*to);
        }
        // Kahn's algorithm as the judge.
        let mut left: Vec<_> = (0u32..12).collect();
        loop {
            let before = left.len();
            let still = left.clone();
            left.retain(|node| needs[*node as usize].iter().any(|need| still.contains(need)));
            if left.len() == before {
                break;
            }
        }
        match find_cycle(&needs) {
            None => prop_assert!(left.is_empty()),
            Some(cycle) => {
                prop_assert!(!left.is_empty());
                for (i, node) in cycle.iter().enumerate() {
                    let next = cycle[(i + 1) % cycle.len()];
                    prop_assert!(needs[*node as usize].contains(&next));
                }
            }
        }
    }
}
