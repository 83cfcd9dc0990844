//! Who may reach which port of a gateway's pods. Pure.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};

use crate::operator::{
    model::gateway_names::{Names, REPORT_PORT, typed},
    options::Options,
    runtime::error::ReconcileError,
};

/// The label by which a namespace is found by its name; every cluster sets it.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The `NetworkPolicy` of a gateway's pods; none when the installation makes none.
///
/// Calls come from anywhere, the report is the operator's alone. Metrics and health are for everybody, since scrapers and load
/// balancers that ask a pod for its health need not be pods, or for pods of the namespaces that the installation names. What
/// pods may call is left open: providers are anywhere.
///
/// # Errors
/// [`ReconcileError::Encoding`], which does not happen.
pub fn build(names: &Names, options: &Options) -> Result<Option<NetworkPolicy>, ReconcileError> {
    if !options.network_policy {
        return Ok(None);
    }
    let operator = json!({
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: options.operator_namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "hookswitch", "app.kubernetes.io/component": "operator"}},
    });
    let mut metrics = json!({"ports": [port(&json!("metrics"))]});
    if let Some(from) = scrapers(&options.metrics_namespaces) {
        metrics["from"] = from;
    }
    let policy = json!({
        "metadata": names.meta(&names.workload),
        "spec": {
            "podSelector": {"matchLabels": names.selector()},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [port(&json!("https"))]},
                {"ports": [port(&json!(REPORT_PORT))], "from": [operator]},
                metrics,
            ],
        },
    });
    typed(policy, "the NetworkPolicy").map(Some)
}

fn port(port: &Value) -> Value {
    json!({"protocol": "TCP", "port": port})
}

/// Who may read metrics; nothing when everybody may.
fn scrapers(namespaces: &[String]) -> Option<Value> {
    let named: Vec<&String> = namespaces.iter().filter(|name| !name.is_empty()).collect();
    let among = json!([{"key": NAMESPACE_NAME, "operator": "In", "values": named}]);
    (!named.is_empty()).then(|| json!([{"namespaceSelector": {"matchExpressions": among}}]))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::operator::testing::world::arguments;
    use hookswitch_api::TelephonyGateway;

    fn built(more: &[&str]) -> Option<Value> {
        let line = ["--image", "i", "--operator-namespace", "system", "--identity", "i"];
        let options: Options = arguments(line.iter().chain(more).copied()).unwrap();
        let gateway: TelephonyGateway = serde_json::from_value(json!({
            "apiVersion": "hookswitch.dev/v1alpha1", "kind": "TelephonyGateway",
            "metadata": {"name": "otp", "namespace": "ns"},
            "spec": {"publicURL": "https://otp.acme.com", "policies": {"names": ["p"]}},
        }))
        .unwrap();
        let policy = build(&Names::of(&gateway).unwrap(), &options).unwrap()?;
        Some(serde_json::to_value(policy).unwrap()["spec"]["ingress"].clone())
    }

    #[test]
    fn calls_come_from_anywhere_and_the_report_is_the_operators_alone() {
        let ingress = built(&[]).unwrap();
        assert_eq!(ingress[0], json!({"ports": [{"protocol": "TCP", "port": "https"}]}));
        assert_eq!(ingress[1]["ports"], json!([{"protocol": "TCP", "port": 9443}]));
        let [operator] = ingress[1]["from"].as_array().unwrap().as_slice() else { panic!("{ingress}") };
        assert_eq!(operator["namespaceSelector"]["matchLabels"], json!({"kubernetes.io/metadata.name": "system"}));
        assert_eq!(operator["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "operator");
        assert_eq!(ingress.as_array().unwrap().len(), 3);
    }

    #[test]
    fn metrics_are_for_all_or_for_pods_of_the_namespaces_that_are_named() {
        assert_eq!(built(&[]).unwrap()[2], json!({"ports": [{"protocol": "TCP", "port": "metrics"}]}));
        let named = built(&["--metrics-namespaces", "monitoring,ops"]).unwrap();
        let values = &named[2]["from"][0]["namespaceSelector"]["matchExpressions"][0]["values"];
        assert_eq!(*values, json!(["monitoring", "ops"]));
    }

    #[test]
    fn an_installation_may_want_no_network_policy() {
        assert_eq!(built(&["--network-policy", "false"]), None);
    }
}
