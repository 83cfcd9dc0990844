use serde_json::json;

use super::*;
use crate::operator::model::tenancy::WorkloadPart;

fn gateway() -> TelephonyGateway {
    serde_json::from_value(json!({
        "apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway",
        "metadata": {"name": "otp", "namespace": "ns", "generation": 5},
        "spec": {"publicURL": "https://otp.acme.com", "policies": {"names": ["p"]}, "tls": {"secretRef": {"name": "otp-tls"}}},
    }))
    .unwrap()
}

fn findings() -> GatewayFindings {
    let deployment = json!({
        "metadata": {"name": "otp-gateway", "generation": 1},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
    });
    GatewayFindings {
        problems: vec![],
        held: None,
        refused: vec![],
        hash: "abc".into(),
        deployment: serde_json::from_value(deployment).unwrap(),
        waits: None,
        replicas: Replicas { reporting: 2, current: 2, usable: 2, ..Replicas::default() },
        arriving: false,
        certificate: ServingCertificate::Given,
    }
}

type Change = fn(&mut GatewayFindings);

fn shown(findings: &GatewayFindings) -> Vec<String> {
    build(&gateway(), findings).conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect()
}

#[test]
fn a_gateway_is_ready_when_all_pods_serve_the_configuration_in_force() {
    assert_eq!(
        shown(&findings()),
        ["Healthy True Usable", "PubliclyTrusted True CertificateGiven", "Ready True Ready"]
    );
    let status = build(&gateway(), &findings());
    assert_eq!((status.ready.as_deref(), status.config_hash.as_deref()), (Some("2/2"), Some("abc")));
}

#[test]
fn what_is_missing_is_said_in_the_order_in_which_a_person_would_put_it_right() {
    let problem = |at, message: &str| ConfigProblem { at, name: "x".into(), message: message.into(), kept: true };
    let rows: [(&str, Change); 11] = [
        ("Ready False ConfigTooLarge", |findings| findings.held = Some(Held::TooLarge("1 byte".into()))),
        ("Ready False InvalidSpec", |findings| findings.held = Some(Held::Refused("report".into()))),
        ("Ready False NotAllowed", |findings| {
            findings.refused = vec![TenancyRefusal { part: WorkloadPart::Service, message: "no".into() }];
            findings.certificate = ServingCertificate::Missing;
            let message = "no policy".into();
            findings.problems =
                vec![ConfigProblem { at: At::Gateway(ConfigSubject::NoPolicy), name: "x".into(), message, kept: true }];
        }),
        ("Ready False SecretNotFound", |findings| findings.certificate = ServingCertificate::Missing),
        ("Ready False SecretNotFound", |findings| {
            findings.certificate = ServingCertificate::Denied { why: "no".into() }
        }),
        ("Ready False NameTaken", |findings| {
            findings.certificate = ServingCertificate::Overwritten { by: "cert-manager".into() }
        }),
        ("Ready False InvalidSpec", |findings| findings.certificate = ServingCertificate::Leftover),
        ("Ready Unknown RolloutWaits", |findings| findings.waits = Some(Waits::Switching("main".into()))),
        ("Ready Unknown PodsNotReady", |findings| {
            if let Some(status) = &mut findings.deployment.status {
                status.ready_replicas = Some(1);
            }
        }),
        ("Ready Unknown Progressing", |findings| findings.replicas.current = 1),
        ("Ready False InvalidSpec", |findings| _ = findings.replicas.refused.insert("no".into())),
    ];
    for (expected, change) in rows {
        let mut findings = findings();
        change(&mut findings);
        assert!(shown(&findings).iter().any(|line| line == expected), "{expected}: {:?}", shown(&findings));
    }
    for (about, expected) in [
        (ConfigSubject::NoPolicy, "Ready False PolicyNotFound"),
        (ConfigSubject::TooManyPolicies, "Ready False TooManyPolicies"),
        (ConfigSubject::TooManyHooks, "Ready False TooManyHooks"),
        (ConfigSubject::TooManyProviders, "Ready False TooManyCarriers"),
        (ConfigSubject::Timing, "Ready False InvalidSpec"),
    ] {
        let mut findings = findings();
        findings.problems = vec![problem(At::Gateway(about), "whatever the words are")];
        assert!(shown(&findings).contains(&expected.to_owned()), "{expected}");
    }
}

#[test]
fn all_that_replicas_refused_is_said_up_to_a_bound() {
    let mut findings = findings();
    let said = |findings: &GatewayFindings| {
        let status = build(&gateway(), findings);
        conditions::get(&status.conditions, "Ready").unwrap().message.clone()
    };
    findings.replicas.refused = ["hook a: no secret", "timing: too short"].map(str::to_owned).into();
    assert!(said(&findings).ends_with(": hook a: no secret; timing: too short"), "{}", said(&findings));
    findings.replicas.refused.extend((0..5).map(|number| format!("hook b{number}: no secret")));
    findings.replicas.unlisted = 3;
    assert!(
        said(&findings).ends_with("hook b3: no secret; and 5 more, see the logs of its pods"),
        "{}",
        said(&findings)
    );
}

#[test]
fn a_problem_of_another_object_leaves_the_gateway_ready_and_is_mentioned() {
    let mut findings = findings();
    findings.problems =
        vec![ConfigProblem { at: At::Provider, name: "twilio".into(), message: "no Secret".into(), kept: true }];
    let status = build(&gateway(), &findings);
    let ready = conditions::get(&status.conditions, "Ready").unwrap();
    assert_eq!(ready.status, "True");
    assert!(
        ready.message.contains("TelephonyProvider twilio: no Secret (the last good one keeps serving)"),
        "{}",
        ready.message
    );
}

#[test]
fn a_gateway_stays_ready_while_a_new_configuration_or_a_new_leader_is_arriving() {
    let mut object = gateway();
    object.status = Some(build(&object, &findings()));
    let mut arriving = findings();
    (arriving.arriving, arriving.replicas) = (true, Replicas::default());
    assert_eq!(build(&object, &arriving), object.status.clone().unwrap());
    arriving.arriving = false;
    let late = build(&object, &arriving);
    assert!(!conditions::is_true(&late.conditions, "Ready") && !conditions::is_true(&late.conditions, "Healthy"));
    arriving.arriving = true;
    object.metadata.generation = Some(6);
    assert!(!conditions::is_true(&build(&object, &arriving).conditions, "Ready"), "a changed spec is another matter");
}

#[test]
fn a_gateway_without_a_usable_provider_is_unhealthy_and_ready() {
    let mut findings = findings();
    findings.replicas.usable = 0;
    assert_eq!(shown(&findings)[0], "Healthy False Down");
    assert_eq!(shown(&findings)[2], "Ready True Ready");
}
