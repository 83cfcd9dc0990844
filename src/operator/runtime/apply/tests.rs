use serde_json::json;

use super::*;

#[test]
fn what_the_server_fills_in_is_no_difference() {
    let wanted = json!({"spec": {"ports": [{"port": 443}], "selector": {"a": "b"}, "paused": [], "none": null}});
    let live = json!({"spec": {"ports": [{"port": 443, "protocol": "TCP"}], "selector": {"a": "b"},
        "clusterIP": "10.0.0.1"}, "status": {}});
    assert!(!differs(&wanted, &live));
}

#[test]
fn another_value_a_missing_field_and_another_length_are_differences() {
    let live = json!({"spec": {"replicas": 2, "args": ["a"]}});
    for wanted in [
        json!({"spec": {"replicas": 3}}),
        json!({"spec": {"paused": true}}),
        json!({"spec": {"args": ["a", "b"]}}),
        json!({"spec": {"args": ["b"]}}),
    ] {
        assert!(differs(&wanted, &live), "{wanted}");
    }
}

#[test]
fn a_field_that_we_once_declared_and_no_longer_do_is_a_difference() {
    let live = json!({
        "metadata": {"labels": {"a": "1", "b": "2"}, "managedFields": [
            {"manager": "hookswitch", "operation": "Apply", "fieldsV1":
                {"f:metadata": {"f:labels": {"f:a": {}, "f:b": {}}},
                 "f:spec": {"f:ports": {"k:{\"port\":443,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}}},
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:theirs": {}}}},
        ]},
        "spec": {"ports": [{"port": 443, "protocol": "TCP"}], "theirs": 1}
    });
    let both = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"ports": [{"port": 443}]}});
    let one = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"ports": [{"port": 443}]}});
    assert!(!differs(&both, &live));
    assert!(differs(&one, &live));
}

#[test]
fn only_what_we_applied_to_the_object_itself_is_ours_to_be_left_over() {
    let leftover = |entry: Value| {
        let fields = json!({"f:metadata": {"f:finalizers": {"v:\"a\"": {}, "v:\"b\"": {}}}});
        let mut entry = entry;
        entry["fieldsV1"] = fields;
        let live = json!({"metadata": {"finalizers": ["a", "b"], "managedFields": [entry]}});
        let wanted = |kept: &[&str]| json!({"metadata": {"finalizers": kept}});
        assert!(!has_leftovers(&live, &wanted(&["b", "a"])), "nothing is");
        has_leftovers(&live, &wanted(&["a"]))
    };
    let one = json!([{"manager": "hookswitch", "operation": "Apply", "fieldsV1": {"f:metadata":
        {"f:finalizers": {"v:\"a\"": {}}}}}]);
    let alone = json!({"metadata": {"finalizers": ["a"], "managedFields": one}});
    assert!(!has_leftovers(&alone, &json!({"metadata": {"finalizers": ["a"]}})));
    assert!(leftover(json!({"manager": "hookswitch", "operation": "Apply"})));
    assert!(!leftover(json!({"manager": "kubectl", "operation": "Apply"})));
    assert!(!leftover(json!({"manager": "hookswitch", "operation": "Update"})));
    assert!(!leftover(json!({"manager": "hookswitch", "operation": "Apply", "subresource": "status"})));
}

#[test]
fn what_is_declared_empty_is_no_difference_and_what_is_not_is_one() {
    let live = json!({"spec": {}});
    for (value, differs_then) in [
        (json!(null), false),
        (json!({}), false),
        (json!([]), false),
        (json!({"a": 1}), true),
        (json!([1]), true),
        (json!(false), true),
        (json!(0), true),
    ] {
        assert_eq!(differs(&json!({"spec": {"field": value.clone()}}), &live), differs_then, "{value}");
    }
}

#[test]
fn an_object_that_the_server_spells_otherwise_is_settled_until_it_or_our_wish_changes() {
    let made = |id: &str, cpu: &str| -> k8s_openapi::api::core::v1::ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": "a", "uid": id, "resourceVersion": "1"},
            "data": {"cpu": cpu}}))
        .unwrap()
    };
    let value = |id: &str, cpu: &str| serde_json::to_value(made(id, cpu)).unwrap();
    let known = Settled::default();
    for id in ["settled-1", "settled-2"] {
        known.remember(&made(id, "1"), &made(id, "1000m"));
    }
    for id in ["settled-1", "settled-2"] {
        assert!(known.is_settled(id, &value(id, "1000m"), &value(id, "1")), "{id}");
        assert!(!known.is_settled(id, &value(id, "2000m"), &value(id, "1")), "another wish");
        assert!(!known.is_settled(id, &value(id, "1000m"), &value(id, "2")), "somebody changed it");
    }
    let mut noisy = value("settled-1", "1");
    noisy["metadata"]["resourceVersion"] = json!("7");
    noisy["metadata"]["annotations"] = json!(null);
    noisy["status"] = json!({"seen": true});
    noisy["metadata"].as_object_mut().unwrap().remove("annotations");
    assert!(known.is_settled("settled-1", &value("settled-1", "1000m"), &noisy), "its status is not its declaration");
}

#[test]
fn a_change_is_reported_for_the_part_that_it_is_in() {
    use k8s_openapi::api::apps::v1::Deployment;

    use hookswitch_api::TelephonyGateway;
    let owner: TelephonyGateway =
        serde_json::from_value(json!({"metadata": {"name": "g", "namespace": "ns", "uid": "1"},
        "spec": {"policies": {"names": ["p"]}, "publicURL": "https://otp.acme.com"}}))
        .unwrap();
    let deployment = |replicas: u32, image: &str, label: Option<&str>| -> Deployment {
        let labels = label.map_or_else(|| json!({}), |label| json!({"team": label}));
        serde_json::from_value(json!({"metadata": {"name": "d"}, "spec": {"replicas": replicas, "selector": {},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}}}))
        .unwrap()
    };
    let mut live = serde_json::to_value(deployment(2, "a:1", Some("iam"))).unwrap();
    live["metadata"]["uid"] = json!("2");
    live["metadata"]["managedFields"] = json!([{"manager": "hookswitch", "operation": "Apply", "fieldsV1": {
        "f:spec": {"f:template": {"f:metadata": {"f:labels": {"f:team": {}}}}, "f:minReadySeconds": {}}}}]);
    live["spec"]["template"]["spec"]["dnsPolicy"] = json!("ClusterFirst");
    live["spec"]["minReadySeconds"] = json!(5);
    let live: Deployment = serde_json::from_value(live).unwrap();
    let pods = ["spec", "template"];
    for (desired, expected) in [
        (deployment(2, "a:1", Some("iam")), false),
        (deployment(3, "a:1", Some("iam")), false),
        (deployment(2, "a:2", Some("iam")), true),
        (deployment(2, "a:1", None), true),
    ] {
        assert_eq!(would_change(&Settled::default(), &owner, &desired, &live, &pods), expected, "{desired:?}");
    }
}
