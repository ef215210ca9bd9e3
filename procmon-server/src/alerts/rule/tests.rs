use super::*;

fn rule(json: &str) -> Result<Rule, RuleError> {
    Rule::new(RuleBody::from_json(json.as_bytes())?, Source::Api)
}

fn refused(json: &str) -> String {
    rule(json).expect_err(json).to_string()
}

/// As in the seed's README.
const SEED: &str = r#"{"id":"rule_high_cpu","name":"High CPU","process_name":"","pid":1234,"metric":"cpu_percent","operator":">",
      "threshold":80,"duration":"60s","enabled":true}"#;

#[test]
fn the_seeds_rule_is_a_rule() {
    let rule = rule(SEED).expect("as it is");
    assert_eq!(rule.id, "rule_high_cpu");
    assert_eq!((rule.for_ms, rule.keep_firing_for_ms), (60_000, 0));
    assert!(rule.enabled);
    let Kind::Threshold(Some(metric), bounds) = &rule.kind else {
        panic!("{:?}", rule.kind);
    };
    assert_eq!(metric.name, "cpu_percent");
    assert!(bounds.hold(80.5) && !bounds.hold(80.0));
    assert_eq!(rule.labels.get("alertname"), Some("High CPU"));
    assert_eq!(rule.labels.get("rule_id"), Some("rule_high_cpu"));
    let written = serde_json::to_value(&rule.body).expect("JSON");
    let given: serde_json::Value = serde_json::from_str(SEED).expect("JSON");
    for (key, value) in given.as_object().expect("an object") {
        let same = written[key] == *value || written[key].as_f64() == value.as_f64();
        assert!(same, "{key} of {written}");
    }
}

#[test]
fn errors_say_what_is_accepted() {
    for (json, wanted) in [
        (
            r#"{"name":"x","metric":"cpu_percnt","operator":">","threshold":1}"#,
            "did you mean cpu_percent? Metrics are: cpu_percent, memory_rss,",
        ),
        (
            r#"{"name":"x","metric":"cpu_percent","operator":"=>","threshold":1}"#,
            "must be >, >=, <, <=, == or !=",
        ),
        (
            r#"{"name":"x","metric":"cpu_percent","operator":">"}"#,
            "threshold: is missing",
        ),
        (
            r#"{"name":"x","metrc":"cpu_percent"}"#,
            "did you mean `metric`?",
        ),
        (
            r#"{"metric":"cpu_percent","operator":">","threshold":1}"#,
            "name: is missing",
        ),
        (
            r#"{"name":"x","metric":"cpu_percent","operator":">","threshold":"high"}"#,
            "threshold: ",
        ),
        (
            r#"{"name":"x","metric":"cpu_percent","operator":">","threshold":1,"recovery":2}"#,
            "good side",
        ),
        (r#"{"name":"x","kind":"zombi"}"#, "kind: "),
        (
            r#"{"name":"x","kind":"zombie","metric":"cpu_percent"}"#,
            "means nothing in a rule of kind zombie; it is for threshold, rate",
        ),
        (
            r#"{"name":"x","kind":"zombie","for":"soon"}"#,
            "90s, 5m or 1h30m",
        ),
        (
            r#"{"name":"x","kind":"zombie","for":"1m","duration":"2m"}"#,
            "give one of them",
        ),
        (
            r#"{"name":"x","kind":"zombie","q":"nam == 'sh'"}"#,
            "q: column 1: ",
        ),
        (
            r#"{"name":"x","kind":"zombie","process_name":"/(/"}"#,
            "process_name: ",
        ),
        (r#"{"name":"x","kind":"absence"}"#, "give process_name, q"),
        (
            r#"{"name":"x","kind":"event"}"#,
            "one or more of fork, exec, exit",
        ),
        (
            r#"{"name":"x","kind":"event","types":["ecec"]}"#,
            "ecec is none",
        ),
        (
            r#"{"name":"x","kind":"event","types":["exec"],"for":"1m"}"#,
            "leave it out",
        ),
        (
            r#"{"name":"x","kind":"change","field":"cpu_percent"}"#,
            "one of exe, cmdline",
        ),
        (
            r#"{"name":"x","kind":"zombie","labels":{"a-b":"1"}}"#,
            "labels.a-b: ",
        ),
        (
            r#"{"name":"x","kind":"zombie","labels":{"pid":"1"}}"#,
            "already",
        ),
        (r#"{"name":"x","id":"a b"}"#, "cannot be an id"),
        (
            r#"{"name":"x","kind":"zombie","annotations":{"s":"{{ $labels.nam }}"}}"#,
            "no label nam; they have alertname",
        ),
        (
            r#"{"name":"x","kind":"zombie","annotations":{"s":"{{ $value"}}"#,
            "not closed",
        ),
        (
            r#"{"name":"x","kind":"zombie","annotations":{"s":"{{ query \"up\" }}"}}"#,
            "not a function",
        ),
        (
            r#"{"name":"x","metric":"cpu_percent","operator":">","threshold":1,"aggregate":{"function":"avg"}}"#,
            "sum, max or count",
        ),
        (
            r#"{"name":"x","metric":"cpu_percent","operator":">","threshold":1,"aggregate":{"function":"sum","by":["host"]}}"#,
            "there are agent_id, name",
        ),
        ("[1]", "body: "),
        ("{} {}", "is not JSON"),
    ] {
        let message = refused(json);
        assert!(message.contains(wanted), "{json}: {message}");
    }
}

#[test]
fn every_kind_has_a_rule() {
    for json in [
        r#"{"name":"x","kind":"rate","metric":"memory_rss","operator":">","threshold":1000,"window":"10m"}"#,
        r#"{"name":"x","kind":"absence","process_name":"sshd","for":"30s"}"#,
        r#"{"name":"x","kind":"zombie","for":"1m"}"#,
        r#"{"name":"x","kind":"event","types":["exec"],"process_name":"*sh","q":"'nginx' in ancestors"}"#,
        r#"{"name":"x","kind":"event","types":["oom"]}"#,
        r#"{"name":"x","kind":"crash_loop","count":3,"window":"1m"}"#,
        r#"{"name":"x","kind":"change","field":"exe","process_name":"sshd"}"#,
        r#"{"name":"x","kind":"host_down","after":"2m","agent_id":"web-*"}"#,
        r#"{"name":"x","operator":">","threshold":100,"aggregate":{"function":"count","by":["name"]}}"#,
        r#"{"name":"x","metric":"memory_rss","operator":">=","threshold":1e9,"recovery":9e8,"aggregate":{"function":"sum","by":["username","agent_id"]}}"#,
    ] {
        let rule = rule(json).expect(json);
        assert!(rule.id.starts_with("rule_"), "{}", rule.id);
    }
}

#[test]
fn annotations_are_filled_in() {
    let fill = |text: &str| {
        let body = RuleBody {
            name: "Busy".to_owned(),
            kind: RuleKind::Zombie,
            severity: Some("page".to_owned()),
            annotations: [("summary".to_owned(), text.to_owned())].into(),
            ..RuleBody::default()
        };
        let rule = Rule::new(body, Source::Api).expect(text);
        let labels = rule.labels.clone().with("name", "java");
        let filled = rule.annotations(&labels, 1_234.5);
        filled.get("summary").expect("an annotation").to_owned()
    };
    assert_eq!(
        fill("{{ $labels.name }} at {{ $value }}%"),
        "java at 1234.5%"
    );
    assert_eq!(
        fill("{{$labels.severity}}/{{.Labels.name}}/{{ .Value }}"),
        "page/java/1234.5"
    );
    assert_eq!(fill("{{ $value | humanize }}B"), "1.234kB");
    assert_eq!(fill("{{ humanize1024 $value }}B"), "1.206kiB");
    assert_eq!(fill("{{ printf \"%.1f%%\" $value }}"), "1234.5%");
    assert_eq!(fill("{{ $value | printf \"%.0f\" }}"), "1234");
    assert_eq!(
        fill("{{ $labels.name | toUpper }} a {{- $labels.pid -}} b"),
        "JAVA ab"
    );
    assert_eq!(fill("no holes }} at all"), "no holes }} at all");
}
