use hookswitch_api::{TelephonyGateway, reason::Ready};

use super::*;
use crate::operator::{controllers::gateway::network_policy, testing::world::arguments};

fn options() -> Options {
    let line = [
        "--image",
        "hookswitch/hookswitch:1",
        "--operator-namespace",
        "s",
        "--identity",
        "i",
        "--image-pull-secrets",
        "pull",
    ];
    arguments(line).unwrap()
}

fn gateway(spec: &Value) -> TelephonyGateway {
    let mut whole = json!({"publicURL": "https://otp.acme.com/in", "policies": {"names": ["p"]}});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let object = json!({
        "apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway",
        "metadata": {"name": "otp", "namespace": "ns", "generation": 1}, "spec": whole,
    });
    serde_json::from_value(object).unwrap()
}

fn built(spec: &Value) -> Value {
    let (gateway, options) = (gateway(spec), options());
    let names = Names::of(&gateway).unwrap();
    let workload = Workload { names: &names, spec: &gateway.spec, options: &options };
    json!({
        "serviceAccount": workload.service_account().unwrap(),
        "role": workload.role().unwrap(),
        "roleBinding": workload.role_binding().unwrap(),
        "service": workload.service().unwrap(),
        "deployment": workload.deployment().unwrap(),
        "disruptionBudget": workload.disruption_budget().unwrap(),
        "ingress": workload.ingress().unwrap(),
        "networkPolicy": network_policy::build(&names, &options).unwrap(),
    })
}

#[test]
fn a_gateway_with_only_what_is_required_is_built_as_it_always_was() {
    insta::assert_yaml_snapshot!(built(&json!({})));
}

#[test]
fn a_gateway_with_everything_is_built_as_it_always_was() {
    insta::assert_yaml_snapshot!(built(&json!({
        "replicas": 3,
        "keepAlive": "650s",
        "tls": {"secretRef": {"name": "otp-tls"}},
        "service": {"type": "LoadBalancer", "port": 8443, "annotations": {"lb": "internal"}},
        "ingress": {"className": "nginx", "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}},
        "resources": {"limits": {"memory": "64Mi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "podLabels": {"team": "iam"},
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"team": "iam"}},
        }]}},
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 1, "topologyKey": "room", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"team": "iam"}}},
        ],
        "priorityClassName": "login",
        "imagePullSecrets": [{"name": "own"}],
        "lameDuck": "90s",
    })));
}

#[test]
fn a_service_says_what_its_load_balancer_and_its_network_need() {
    let service = built(&json!({"service": {
        "type": "LoadBalancer", "loadBalancerClass": "service.k8s.aws/nlb", "loadBalancerSourceRanges": ["192.0.2.0/24"],
        "externalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"],
    }}))["service"]["spec"]
        .clone();
    assert_eq!(service["loadBalancerClass"], "service.k8s.aws/nlb");
    assert_eq!(service["loadBalancerSourceRanges"], json!(["192.0.2.0/24"]));
    assert_eq!(
        (&service["externalTrafficPolicy"], &service["ipFamilyPolicy"]),
        (&json!("Local"), &json!("PreferDualStack"))
    );
    assert_eq!(service["ipFamilies"], json!(["IPv6", "IPv4"]));
}

/// cert-manager makes a certificate for each Secret that an annotated Ingress names, and writes it there.
#[test]
fn an_ingress_never_names_a_secret_that_the_operator_writes() {
    let secret = |spec: Value| built(&spec)["ingress"]["spec"]["tls"][0]["secretName"].clone();
    assert_eq!(secret(json!({"ingress": {}})), Value::Null);
    assert_eq!(secret(json!({"ingress": {"tlsSecretRef": {"name": "public"}}})), "public");
    assert_eq!(secret(json!({"ingress": {}, "tls": {"secretRef": {"name": "otp-tls"}}})), "otp-tls");
    let both = json!({"ingress": {"tlsSecretRef": {"name": "public"}}, "tls": {"secretRef": {"name": "inside"}}});
    assert_eq!(secret(both.clone()), "public");
    let volumes = built(&both)["deployment"]["spec"]["template"]["spec"]["volumes"].clone();
    assert_eq!(volumes[1]["secret"]["secretName"], "inside");
}

#[test]
fn a_secret_that_the_operator_writes_is_no_secret_of_the_users() {
    let named = |name: &str, spec: Value| {
        let mut gateway = gateway(&spec);
        gateway.metadata.name = Some(name.to_owned());
        gateway
    };
    let ingress = |secret: &str| json!({"ingress": {"tlsSecretRef": {"name": secret}}});
    let tls = |secret: &str| json!({"tls": {"secretRef": {"name": secret}}});
    let other = named("other", json!({}));
    let refused = [
        ("spec.ingress.tlsSecretRef", ingress("otp-gateway-tls")),
        ("spec.ingress.tlsSecretRef", ingress("otp-gateway-config")),
        ("spec.ingress.tlsSecretRef", ingress("other-gateway-tls")),
        ("spec.tls.secretRef", tls("otp-gateway-report")),
        ("spec.tls.secretRef", tls("other-gateway-tls")),
    ];
    for (field, spec) in refused {
        let gateway = named("otp", spec);
        let problem = Names::check_secrets(&gateway, [&other, &gateway]).unwrap_err();
        assert_eq!((problem.reason, problem.stalled), (Ready::InvalidSpec, true));
        assert!(problem.message.starts_with(field), "{}", problem.message);
    }
    // with a certificate of the user's none is generated, and the name is free
    for spec in [tls("otp-gateway-tls"), tls("otp-tls"), ingress("otp-acme-com"), json!({})] {
        let gateway = named("otp", spec);
        assert_eq!(Names::check_secrets(&gateway, [&other, &gateway]), Ok(()));
    }
}

#[test]
fn the_path_that_an_ingress_routes_is_the_one_that_okta_calls() {
    for (url, path) in [
        ("https://otp.acme.com", "/hooks/"),
        ("https://otp.acme.com/", "/hooks/"),
        ("https://otp.acme.com:8443/in", "/in/hooks/"),
        ("https://OTP.acme.com/a/b/", "/a/b/hooks/"),
    ] {
        let spec = json!({"publicURL": url, "ingress": {}});
        let rule = built(&spec)["ingress"]["spec"]["rules"][0].clone();
        assert_eq!((&rule["host"], &rule["http"]["paths"][0]["path"]), (&json!("otp.acme.com"), &json!(path)));
        let called = gateway(&spec).spec.hook_url("acme");
        assert!(called.ends_with(&format!("{path}acme")), "{called}");
    }
}

#[test]
fn labels_by_which_pods_are_found_win_over_declared_ones() {
    let labels =
        built(&json!({"podLabels": {"app.kubernetes.io/name": "x", "team": "iam"}}))["deployment"]["spec"]["template"]
            ["metadata"]["labels"]
            .clone();
    assert_eq!((&labels["app.kubernetes.io/name"], &labels["team"]), (&json!("hookswitch"), &json!("iam")));
}

#[test]
fn a_pod_has_time_to_end_after_its_lame_duck() {
    for (declared, deadline, grace) in [(None, "10s", 30), (Some("90s"), "90s", 110), (Some("0s"), "0s", 20)] {
        let built = built(&declared.map_or_else(|| json!({}), |duck| json!({"lameDuck": duck})));
        let pod = &built["deployment"]["spec"]["template"]["spec"];
        assert_eq!(
            (&pod["containers"][0]["args"][4], &pod["terminationGracePeriodSeconds"]),
            (&json!(deadline), &json!(grace))
        );
    }
}

#[test]
fn pods_run_as_whom_the_platform_says_unless_the_installation_says_it() {
    // OpenShift's restricted-v2 gives each namespace users of its own and refuses pods that ask for another
    let context = |options: &Options| {
        let gateway = gateway(&json!({}));
        let names = Names::of(&gateway).unwrap();
        let deployment = Workload { names: &names, spec: &gateway.spec, options }.deployment().unwrap();
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        for volume in pod.volumes.unwrap() {
            assert_eq!(volume.secret.unwrap().default_mode, Some(0o444), "whoever it is must be able to read it");
        }
        let context = pod.security_context.unwrap();
        (context.run_as_non_root, context.run_as_user, context.run_as_group, context.fs_group)
    };
    assert_eq!(context(&options()), (Some(true), None, None, None));
    let mut said = options();
    (said.run_as_user, said.run_as_group, said.fs_group) = (Some(1), Some(2), Some(3));
    assert_eq!(context(&said), (Some(true), Some(1), Some(2), Some(3)));
}

#[test]
fn pods_may_read_one_secret_by_name_and_nothing_else() {
    let built = built(&json!({}));
    let rule = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["otp-gateway-config"], "verbs": ["get", "list", "watch"]});
    assert_eq!(built["role"]["rules"], json!([rule]));
}

/// The controls of Kubernetes' Pod Security Standard *restricted* (and *baseline* in it) that a pod does not fit.
fn invalid(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, control: &str| found.extend((!holds).then(|| control.to_owned()));
    let absent = |value: &Value| value.is_null() || *value == json!(false);
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        must(absent(&pod[host]), host);
    }
    let may =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        must(kinds.clone().count() == 1 && kinds.clone().all(|kind| may.contains(&kind.as_str())), "volume types");
    }
    must(pod["securityContext"]["sysctls"].is_null(), "sysctls");
    let all = ["initContainers", "containers", "ephemeralContainers"];
    for container in all.iter().flat_map(|kind| pod[*kind].as_array().into_iter().flatten()) {
        let own = &container["securityContext"];
        let either = |field: &str| if own[field].is_null() { &pod["securityContext"][field] } else { &own[field] };
        must(absent(&own["privileged"]), "privileged");
        must(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
        must(own["capabilities"]["drop"] == json!(["ALL"]), "capabilities.drop");
        let added = own["capabilities"]["add"].as_array().into_iter().flatten();
        must(added.into_iter().all(|added| added == "NET_BIND_SERVICE"), "capabilities.add");
        must(*either("runAsNonRoot") == true, "runAsNonRoot");
        must(*either("runAsUser") != 0, "runAsUser");
        let seccomp = &either("seccompProfile")["type"];
        must(seccomp == "RuntimeDefault" || seccomp == "Localhost", "seccompProfile");
        must(either("appArmorProfile")["type"] != "Unconfined", "appArmorProfile");
        must(either("seLinuxOptions").is_null(), "seLinuxOptions");
        must(own["procMount"].is_null() || own["procMount"] == "Default", "procMount");
        let ports = container["ports"].as_array().into_iter().flatten();
        must(ports.into_iter().all(|port| port["hostPort"].is_null()), "hostPort");
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            must(
                container[probe]["httpGet"]["host"].is_null() && container[probe]["tcpSocket"]["host"].is_null(),
                probe,
            );
        }
    }
    found
}

#[test]
fn pods_fit_the_restricted_pod_security_standard_whatever_a_gateway_declares() {
    let certificate = json!({"tls": {"secretRef": {"name": "cert"}}});
    let pods = json!({"podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "priorityClassName": "high",
        "tolerations": [{"operator": "Exists"}], "nodeSelector": {"disk": "ssd"}});
    for spec in [json!({}), certificate, pods, json!({"replicas": 5})] {
        let pod = built(&spec)["deployment"]["spec"]["template"]["spec"].clone();
        assert_eq!(invalid(&pod), Vec::<String>::new(), "{spec}");
        assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
        // the check sees what it is there for
        for (at, value, control) in [
            ("/hostNetwork", json!(true), "hostNetwork"),
            ("/securityContext/runAsNonRoot", json!(false), "runAsNonRoot"),
            ("/securityContext/seccompProfile/type", json!("Unconfined"), "seccompProfile"),
            ("/containers/0/securityContext/allowPrivilegeEscalation", json!(true), "allowPrivilegeEscalation"),
            ("/containers/0/securityContext/capabilities/drop", json!(["NET_RAW"]), "capabilities.drop"),
            ("/containers/0/ports/0/hostPort", json!(443), "hostPort"),
        ] {
            let mut worse = pod.clone();
            let (parent, field) = at.rsplit_once('/').unwrap();
            worse.pointer_mut(parent).unwrap()[field] = value;
            assert_eq!(invalid(&worse), [control], "{at}");
        }
    }
}

#[test]
fn one_pod_has_no_disruption_budget() {
    assert_eq!(built(&json!({"replicas": 1}))["disruptionBudget"], Value::Null);
}

#[test]
fn a_name_that_leaves_no_room_is_refused() {
    for name in ["a".repeat(49), "a.b".to_owned()] {
        let mut gateway = gateway(&json!({}));
        gateway.metadata.name = Some(name);
        assert_eq!(Names::of(&gateway).unwrap_err().reason, Ready::InvalidSpec);
    }
}

#[test]
fn the_certificate_names_the_public_host_first() {
    let gateway = gateway(&json!({}));
    let hosts = Names::of(&gateway).unwrap().hosts(&gateway);
    assert_eq!(hosts, ["otp.acme.com", "otp-gateway.ns.svc.cluster.local", "otp-gateway.ns.svc"]);
}
