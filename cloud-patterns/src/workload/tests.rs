//! Reading, refusing and writing workloads.

use cloud_core::{ErrorKind, Money, Region, ResourceType, Tags};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const SHOP: &str = include_str!("shop.yaml");

fn refused(text: &str, format: Format) -> String {
    let error = Workload::from_text(text, format).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error.message().to_owned()
}

/// A workload with one component, its fields given in YAML's flow style.
fn component(fields: &str) -> String {
    format!("name: shop\ncomponents:\n  - {{{fields}}}\n")
}

#[test]
fn the_shop_is_read() {
    let shop = Workload::from_text(SHOP, Format::Yaml).unwrap();
    assert_eq!(shop.components.len(), 4);
    assert_eq!(shop.expires_in, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(shop.components[3].replicas, 2);
    assert_eq!(shop.components[2].tables().unwrap()[0].name, "orders");
    assert_eq!(shop.limits, BlastRadiusLimit::default());
}

#[test]
fn one_mistake_in_three_formats_has_path_line_and_column() {
    let yaml =
        "name: shop\ncomponents:\n  - name: web\n    type: compute\n    spec:\n      spott: true\n";
    let json = "{\n \"name\": \"shop\",\n \"components\": [\n  {\"name\": \"web\",\n   \"type\": \"compute\",\n   \"spec\": {\"spott\": true}}\n ]\n}";
    let toml = "name = \"shop\"\n[[components]]\nname = \"web\"\ntype = \"compute\"\n[components.spec]\nspott = true\n";
    for (text, format, place) in [
        (yaml, Format::Yaml, "line 6, column 7"),
        (json, Format::Json, "line 6, column 13"),
        (toml, Format::Toml, "line 6, column 1"),
    ] {
        let message = refused(text, format);
        let expected = format!("{place}: components[0].spec.spott: unknown field `spott`");
        assert!(message.starts_with(&expected), "{format:?}: {message}");
    }
}

#[test]
fn semantic_mistakes_have_their_place_in_every_format() {
    let yaml = "name: shop\ncomponents:\n- name: a\n  type: storage\n  depends_on:\n  - b\n- name: b\n  type: storage\n  depends_on:\n  - c\n";
    let json = serde_json::to_string_pretty(&json!({"name": "shop", "components": [
        {"depends_on": ["b"], "name": "a", "type": "storage"},
        {"depends_on": ["c"], "name": "b", "type": "storage"}]}))
    .unwrap();
    let toml = "name = 'shop'\n[[components]]\nname = 'a'\ntype = 'storage'\ndepends_on = ['b']\n[[components]]\nname = 'b'\ntype = 'storage'\ndepends_on = [ 'c']\n";
    for (text, format, place) in [
        (yaml, Format::Yaml, "line 10, column 5"),
        (&*json, Format::Json, "line 12, column 9"),
        (toml, Format::Toml, "line 9, column 16"),
    ] {
        let message = refused(text, format);
        let expected = format!(
            "{place}: components[1].depends_on[0] names the unknown component 'c'; accepted: a, b"
        );
        assert_eq!(message, expected, "{format:?}");
    }
}

#[test]
fn a_key_that_comes_twice_is_refused_in_every_format() {
    for (text, format) in [
        ("name: shop\nname: shop2\ncomponents: []\n", Format::Yaml),
        ("{\"name\": \"shop\",\n\"name\": \"shop2\", \"components\": []}", Format::Json),
        ("name = 'shop'\nname = 'shop2'\ncomponents = []\n", Format::Toml),
        ("name: shop\ntags: {a: b,\n  a: c}\ncomponents: []\n", Format::Yaml),
        (
            "{\"name\": \"shop\", \"tags\": {\"a\": \"b\",\n \"a\": \"c\"}, \"components\": []}",
            Format::Json,
        ),
        ("name = 'shop'\ntags = {a = 'b', a = 'c'}\ncomponents = []\n", Format::Toml),
    ] {
        let message = refused(text, format);
        assert!(message.to_lowercase().contains("duplicate"), "{format:?}: {message}");
        assert!(
            message.starts_with("line 2, column ") || message.starts_with("line 3, column "),
            "{format:?}: {message}"
        );
    }
}

#[test]
fn what_is_not_the_format_is_refused_with_its_place() {
    for (text, format, what) in [
        ("name: [shop\n", Format::Yaml, "YAML"),
        ("{\"name\": \"shop\",}", Format::Json, "JSON"),
        ("name: shop", Format::Json, "JSON"),
        ("name = \n", Format::Toml, "TOML"),
        ("name = 99999999999999999999999\n", Format::Toml, "TOML"),
        ("---\nname: a\n---\nname: b\n", Format::Yaml, "YAML"),
    ] {
        let message = refused(text, format);
        assert!(message.starts_with("line "), "{message}");
        assert!(message.contains(&format!("not valid {what}")), "{message}");
    }
}

#[test]
fn deep_and_exploding_texts_are_refused() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5_000), close.repeat(5_000));
    refused(&deep("[", "]"), Format::Yaml);
    refused(&deep("[", "]"), Format::Json);
    refused(&format!("a = {}", deep("[", "]")), Format::Toml);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let of = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{of}]\n"));
    }
    refused(&bomb, Format::Yaml);
}

#[test]
fn bad_values_are_refused_by_path() {
    let long = "n".repeat(41);
    let cases = [
        ("name: '', type: storage", "components[0].name is ''"),
        ("name: ../etc, type: storage", "components[0].name is '../etc'"),
        ("name: \"a\\u0007\", type: storage", "components[0].name is 'a\\u{7}'"),
        (&*format!("name: {long}, type: storage"), "components[0].name is 'nnn"),
        ("name: a, type: disk", "components[0].type: unknown variant `disk`"),
        ("name: a, type: storage, replicas: 0", "components[0].replicas is 0"),
        ("name: a, type: storage, replicas: -1", "components[0].replicas: invalid value"),
        ("name: a, type: storage, replicas: 4294967296", "components[0].replicas: invalid value"),
        (
            "name: a, type: storage, replicas: 1001",
            "components[0].replicas is 1001; accepted: 1 to 1000",
        ),
        ("name: a, type: storage, replicas: two", "components[0].replicas: invalid type"),
        (
            "name: a, type: storage, depends_on: [a]",
            "components[0].depends_on[0] is the component itself",
        ),
        ("name: a, type: storage, network: n", "components[0].network is set for storage"),
        ("name: a, type: storage, tags: {\"\": x}", "components[0].tags: "),
        (
            "name: a, type: compute, spec: {size: {at_least: {vcpu: 1, memory: -1GiB}}}",
            "components[0].spec.size.at_least.memory: ",
        ),
        (
            "name: a, type: compute, spec: {size: {at_least: {vcpu: 1, memory: 4 gigs}}}",
            "components[0].spec.size.at_least.memory: ",
        ),
        (
            "name: a, type: compute, spec: {size: {at_least: {vcpu: 1, memory: 99999999999TiB}}}",
            "components[0].spec.size.at_least.memory: ",
        ),
        (
            "name: a, type: compute, spec: {size: {at_least: {vcpu: 0, memory: 1GiB}}}",
            "components[0].spec.size.at_least.vcpu is 0",
        ),
        ("name: a, type: compute, spec: {region: eu-1}", "components[0].spec.region is set"),
        (
            "name: a, type: compute, expose: [{port: PORT}]",
            "components[0].expose is set without a network",
        ),
        (
            "name: a, type: database, spec: {engine: sqlite, tables: [{name: 't; drop', columns: []}]}",
            "components[0].spec.tables[0]: table is 't; drop'",
        ),
        (
            "name: a, type: database, spec: {engine: oracle}",
            "components[0].spec.engine: unknown variant",
        ),
        ("name: a, type: database", "components[0].spec: missing field `engine`"),
        (
            "name: a, type: storage, spec: {objects: [{key: ../x, text: y}]}",
            "components[0].spec.objects[0].key is '../x'",
        ),
        (
            "name: a, type: storage, spec: {objects: [{key: x}]}",
            "components[0].spec.objects[0] has both or neither",
        ),
        (
            "name: a, type: network, spec: {cidr: 10.0.0.1/16}",
            "components[0].spec.cidr is 10.0.0.1/16",
        ),
        (
            "name: a, type: compute, requirements: {optimize_for: latency}",
            "components[0].requirements.target_region is missing",
        ),
        (
            "name: a, type: compute, requirements: {optimise_for: cost}",
            "components[0].requirements.optimise_for: unknown field",
        ),
        (
            "name: a, type: compute, requirements: {allowed_countries: [Germany]}",
            "components[0].requirements.allowed_countries[0] is 'Germany'",
        ),
        (
            "name: a, type: compute, requirements: {optimize_for: {cost: 0, latency: 0}}",
            "components[0].requirements.optimize_for has the weights 0 and 0",
        ),
        (
            "name: a, type: compute, requirements: {optimize_for: {cost: -1, latency: 0}}",
            "components[0].requirements.optimize_for.cost is -1",
        ),
        (
            "name: a, type: compute, requirements: {optimize_for: beauty}",
            "components[0].requirements.optimize_for: unknown variant `beauty`",
        ),
        (
            "name: a, type: compute, requirements: {max_latency_ms: 5}",
            "components[0].requirements.target_region is missing",
        ),
        (
            "name: a, type: compute, requirements: {target_region: {latitude: 91, longitude: 0}}",
            "components[0].requirements.target_region.latitude is 91",
        ),
        (
            "name: a, type: compute, requirements: {spread: {across: regions, at_most: 0}}",
            "components[0].requirements.spread.at_most is 0",
        ),
        (
            "name: a, type: storage, requirements: {spread: {across: zones}}",
            "components[0].requirements.spread.across is zones for storage",
        ),
        (
            "name: a, type: compute, requirements: {traffic: [{to: a}]}",
            "components[0].requirements.traffic[0].to is the component itself",
        ),
        (
            "name: a, type: compute, requirements: {affinity: [{with: b}]}",
            "components[0].requirements.affinity[0].with names the unknown component 'b'",
        ),
        (
            "name: a, type: compute, requirements: {internet_gib_per_month: -1}",
            "components[0].requirements.internet_gib_per_month is -1",
        ),
        (
            "name: a, type: compute, spec: {spot: true}, requirements: {spot: never}",
            "components[0].requirements.spot is never, but spec.spot is true",
        ),
        (
            "name: a, type: compute, requirements: {purchase: spot}",
            "components[0].requirements.purchase is spot",
        ),
        (
            "name: a, type: compute, spec: {environment: {URL: '${b.url}'}}",
            "components[0].spec.environment.URL names the unknown component 'b'",
        ),
        (
            "name: a, type: compute, spec: {environment: {URL: '${HOME}'}}",
            "components[0].spec.environment.URL: reference is '${HOME}'",
        ),
    ];
    for (fields, expected) in cases {
        let message = refused(&component(fields), Format::Yaml);
        assert!(message.starts_with("line 3, column "), "{fields}: {message}");
        assert!(message.contains(expected), "{fields}: {message}");
    }
}

#[test]
fn the_whole_has_its_rules_too() {
    for (text, expected) in [
        ("name: shop\ncomponents: []\n", "line 2, column 1: components has 0 entries"),
        ("components: []\n", "workload: missing field `name`"),
        (
            "name: Shop\ncomponents: [{name: a, type: storage}]\n",
            "line 1, column 1: name is 'Shop'",
        ),
        (
            "name: shop\nexpires_in: soon\ncomponents: []\n",
            "line 2, column 1: expires_in: 'soon' is no duration",
        ),
        (
            "name: shop\nexpires_in: 0s\ncomponents: [{name: a, type: storage}]\n",
            "line 2, column 1: expires_in is zero",
        ),
        (
            "name: shop\nlimits: {max_deleted_share: 2}\ncomponents: [{name: a, type: storage}]\n",
            "line 2, column 1: limits.max_deleted_share is 2",
        ),
        (
            "name: shop\nlimits: {max_change: 2}\ncomponents: []\n",
            "limits.max_change: unknown field",
        ),
        (
            "name: shop\ncomponents:\n- {name: a, type: storage}\n- {name: a, type: storage}\n",
            "line 4, column 4: components[1].name is 'a', as that of components[0]",
        ),
        (
            "name: shop\ncomponents:\n- {name: a, type: storage, replicas: 2}\n- {name: a-2, type: storage}\n",
            "line 4, column 4: components[1].name is 'a-2', which is also a part of 'a'",
        ),
    ] {
        let message = refused(text, Format::Yaml);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn cycles_are_named() {
    let text = "name: shop\ncomponents:
- {name: a, type: compute, spec: {environment: {B: '${b.address}'}}}
- {name: b, type: compute, depends_on: [c]}
- {name: c, type: compute, dependencies: [a]}\n";
    let message = refused(text, Format::Yaml);
    assert!(message.contains("a needs b needs c needs a"), "{message}");
    assert!(message.starts_with("line 3"), "{message}");
}

#[test]
fn components_cannot_be_together_and_apart() {
    let with = |a: &str, b: &str, c: &str| {
        let part = |name: &str, asks: &str| {
            format!("- {{name: {name}, type: compute, replicas: 2, requirements: {{{asks}}}}}\n")
        };
        format!("name: shop\ncomponents:\n{}{}{}", part("a", a), part("b", b), part("c", c))
    };
    for (a, b, c, expected) in [
        (
            "affinity: [{with: b}], anti_affinity: [{with: b}]",
            "",
            "",
            "keeps 'a' and 'b' out of one region, which affinity puts them into",
        ),
        (
            "affinity: [{with: b}]",
            "affinity: [{with: c, within: provider}]",
            "anti_affinity: [{with: a, within: provider}]",
            "keeps 'c' and 'a' out of one provider, which affinity puts them into",
        ),
        (
            "affinity: [{with: b}], spread: {across: regions}",
            "",
            "",
            "components[0].requirements.spread puts 2 replicas across regions, which affinity puts into one",
        ),
    ] {
        let message = refused(&with(a, b, c), Format::Yaml);
        assert!(message.contains(expected), "{message}");
    }
    for (a, b) in [
        ("affinity: [{with: b}]", "affinity: [{with: a}]"),
        ("affinity: [{with: b, within: provider}]", "anti_affinity: [{with: a}]"),
        ("affinity: [{with: b}]", "anti_affinity: [{with: a, within: zone}]"),
    ] {
        Workload::from_text(&with(a, b, ""), Format::Yaml).unwrap();
    }
}

#[test]
fn policies_and_budget_are_checked() {
    let with =
        |more: &str| format!("name: shop\ncomponents: [{{name: a, type: storage}}]\n{more}\n");
    for good in [
        "budget: {amount: '100', currency: USD}",
        "deployment_policies: {cost: {}, latency: {target_region: Paris}, own: {}}",
        "deployment_policies: {max_share: {most: 0.5}, avoid_provider: {providers: [aws]}}",
    ] {
        Workload::from_text(&with(good), Format::Yaml).unwrap();
    }
    for (bad, expected) in [
        ("budget: {amount: '-1', currency: USD}", "line 3, column 1: budget is -1 USD"),
        ("deployment_policies: {max_share: {most: 2}}", "deployment_policies.max_share.most is 2"),
        ("deployment_policies: {cost: {wait: 2}}", "deployment_policies.cost.wait: unknown field"),
    ] {
        let message = refused(&with(bad), Format::Yaml);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn references_are_checked() {
    let with = |spec: &str| {
        format!(
            "name: shop\ncomponents:
- {{name: db, type: database, spec: {{engine: sqlite}}}}
- {{name: web, type: compute, replicas: 2, spec: {{ports: {{PORT: 0}}}}}}
- {{name: a, type: compute, spec: {spec}}}\n"
        )
    };
    for good in [
        "{environment: {U: '${db.url}', W: 'http://${web[1].address}:${web[0].port}/'}}",
        "{environment: {P: '${web[0].port_port}', N: '${db.name}'}}",
        "{command: [echo, '$${HOME}', '${db.host}']}",
    ] {
        Workload::from_text(&with(good), Format::Yaml).unwrap();
    }
    for (bad, expected) in [
        (
            "{environment: {W: '${web.address}'}}",
            "spec.environment.W has ${web.address}, but 'web' has 2 replicas; accepted: one of them, such as ${web[0].address}",
        ),
        ("{environment: {W: '${web[2].address}'}}", "accepted: [0] to [1]"),
        (
            "{environment: {W: '${db.adress}'}}",
            "gives no such output; accepted: id, name, region, host, port, url, password",
        ),
        ("{environment: {W: '${web[0].port_http}'}}", "gives no such output"),
        (
            "{command: [psql, '${db.url}']}",
            "spec.command[1] has ${db.url}, which is a secret; accepted: secrets inside spec.environment only",
        ),
        ("{environment: {W: '${a.address}'}}", "is the component itself"),
    ] {
        let message = refused(&with(bad), Format::Yaml);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn files_are_read_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.yml");
    std::fs::write(&path, SHOP).unwrap();
    let shop = Workload::from_path(&path).unwrap();
    for (name, format) in [("shop.json", Format::Json), ("shop.toml", Format::Toml)] {
        let path = folder.path().join(name);
        std::fs::write(&path, shop.to_text(format).unwrap()).unwrap();
        assert_eq!(Workload::from_path(&path).unwrap(), shop);
    }
    std::fs::write(&path, "name: shop\nx: 1\n").unwrap();
    let error = Workload::from_path(&path).unwrap_err().to_string();
    assert!(error.contains("shop.yml: line 2, column 1: x: unknown field"), "{error}");
    let missing = Workload::from_path(folder.path().join("no.toml")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("no.toml"), "{missing}");
}

#[test]
fn json_may_be_indented_by_tabs_and_escaped() {
    let text = "{\n\t\"name\":\"shop\",\n\t\"components\":[\n\t\t{\"name\":\"\\u0061\",\"type\":\"compute\",\"spec\":{\"command\":[\"\\/bin\\/echo\",\"\\ud83d\\ude00\"]}}]}";
    let workload = Workload::from_text(text, Format::Json).unwrap();
    assert_eq!(workload.components[0].name, "a");
    assert_eq!(workload.components[0].spec["command"], json!(["/bin/echo", "😀"]));
}

fn text() -> impl Strategy<Value = String> {
    // What readers stumble over: quotes, colons, signs of YAML and TOML, words that mean something, other scripts.
    prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        Just("true".to_owned()),
        Just("~".to_owned()),
        Just("0x1F".to_owned()),
        Just("1e3".to_owned()),
        Just("2026-01-01".to_owned()),
        Just("- a\n- b\n".to_owned()),
        Just("# no comment".to_owned()),
    ]
    .prop_map(|text| text.replace("${", "{").replace('\0', ""))
}

prop_compose! {
    fn any_component(name: String)(
        kind in 0usize..3,
        replicas in 1u32..4,
        environment in proptest::collection::btree_map("[A-Z_]{1,8}", text(), 0..4),
        regions in proptest::collection::vec("[a-z]{2}-[0-9]", 0..3),
        tag in "[a-z]{1,5}",
        versioning in any::<bool>(),
        latency in any::<bool>(),
        (share, at_most, gib) in (0.1f64..1.0, 1u32..4, 0.0f64..1e6),
    ) -> Component {
        let component_type = [ResourceType::Compute, ResourceType::Storage, ResourceType::Database][kind];
        let mut component = Component::new(name.clone(), component_type);
        component.replicas = replicas;
        component.tags = Tags::new([("tag", tag)]).unwrap();
        component.requirements.allowed_regions = regions.iter().map(|r| Region::new(r).unwrap()).collect();
        if latency {
            component.requirements.optimize_for = Some(OptimizeFor::Latency);
            component.requirements.target_region = Some(Target::Named("eu-1".into()));
        }
        if let ("b", true) = (name.as_str(), replicas > 1) {
            component.requirements.target_region =
                Some(Target::Point(Point { latitude: share, longitude: -gib / 1e4 }));
            component.requirements.optimize_for =
                Some(OptimizeFor::Blend { cost: share, latency: 1.0 - share });
            component.requirements.max_latency_ms = Some(gib);
            component.requirements.spread = Some(Spread { across: Across::Regions, at_most });
            component.requirements.anti_affinity =
                vec![Relation { with: "a".into(), within: Within::Zone }];
            component.requirements.traffic =
                vec![Traffic { to: "a".into(), gib_per_month: gib, max_latency_ms: Some(share) }];
            component.requirements.architecture = Some(Architecture::Any);
            component.requirements.spot = Some(SpotUse::Allowed);
            component.requirements.residency = vec!["EU".into()];
        }
        match component_type {
            ResourceType::Compute => component.spec.insert("environment".into(), json!(environment)),
            ResourceType::Storage => component.spec.insert("versioning".into(), json!(versioning)),
            _ => component.spec.insert("engine".into(), json!("sqlite")),
        };
        component
    }
}

fn any_workload() -> impl Strategy<Value = Workload> {
    let parts = (
        any_component("a".into()),
        any_component("b".into()),
        proptest::option::of(1u64..10_000_000),
        1usize..500,
    );
    parts.prop_map(|(a, mut b, expires, max_changes)| {
        b.depends_on = vec!["a".into()];
        Workload {
            name: "shop".into(),
            components: vec![a, b],
            tags: Tags::default(),
            expires_in: expires.map(Duration::from_secs),
            limits: BlastRadiusLimit {
                max_changes,
                max_monthly_cost: (max_changes > 250)
                    .then(|| Money::usd(cloud_core::Decimal::new(12_345, 2))),
                ..BlastRadiusLimit::default()
            },
            budget: (max_changes > 100).then(|| Money::usd(cloud_core::Decimal::new(12_345, 2))),
            deployment_policies: match max_changes > 300 {
                true => BTreeMap::from([(
                    "max_share".into(),
                    json!({"most": 0.5}).as_object().unwrap().clone(),
                )]),
                false => BTreeMap::new(),
            },
        }
    })
}

proptest! {
    #[test]
    fn a_workload_survives_every_format(workload in any_workload()) {
        workload.validate().unwrap();
        let mut read = workload.clone();
        for format in [Format::Yaml, Format::Json, Format::Toml, Format::Yaml] {
            let text = read.to_text(format).unwrap();
            read = Workload::from_text(&text, format).map_err(|e| TestCaseError::fail(format!("{format:?}: {e}\n{text}")))?;
            prop_assert_eq!(&read, &workload);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}:,'\"a-c#&*!|>\\-= \\n\\t0-9.$]{0,80}") {
        for format in [Format::Yaml, Format::Json, Format::Toml] {
            let _ = Workload::from_text(&text, format);
        }
    }

    #[test]
    fn a_damaged_workload_never_makes_it_panic(at in 0usize..1000, with in "\\PC{0,3}") {
        let at = (0..=at.min(SHOP.len())).rev().find(|at| SHOP.is_char_boundary(*at)).unwrap();
        let text = format!("{}{with}{}", &SHOP[..at], SHOP.get(at + 1..).unwrap_or_default());
        let _ = Workload::from_text(&text, Format::Yaml);
    }
}
