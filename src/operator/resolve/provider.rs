//! A provider as a gateway is to know it, or what is wrong with it.

use std::collections::BTreeSet;

use kube::ResourceExt as _;

use super::secret_value;
use crate::operator::runtime::{
    error::{Checked, ReconcileError, or_denied},
    problem::Problem,
    references::{Reference, References},
};
use hookswitch_api::{
    self as api, CaBundleRef, ClientAuthentication, OktaHookAuth, OktaHookProvider, ProbeSpec, ProviderAccount,
    TelephonyProvider, TelephonyProviderSpec, TwilioProvider, reason::Ready,
};
use hookswitch_gateway_config::{
    document::{
        Account, HookCredential, OktaHookCredential, PlainHeader, Probe, ProviderConfig, SecretPlacement, Sender,
        TokenClient,
    },
    twilio::{AddressRetention, ContentRetention, RiskCheck, TwilioOptions, TwilioVerify},
};
use hookswitch_message::Secret;
use hookswitch_net as net;
use hookswitch_providers as providers;

/// The Secrets and `ConfigMaps` that a provider refers to.
#[must_use]
pub fn references(provider: &TelephonyProvider) -> BTreeSet<Reference> {
    let namespace = provider.namespace().unwrap_or_default();
    let spec = &provider.spec;
    let credential =
        spec.account().and_then(ProviderAccount::secret_ref).map(|key| Reference::secret(&namespace, &key.name));
    let bundle = spec.ca_bundle_ref.as_ref().and_then(|bundle| bundle_reference(&namespace, bundle));
    credential.into_iter().chain(bundle).collect()
}

fn bundle_reference(namespace: &str, bundle: &CaBundleRef) -> Option<Reference> {
    match (&bundle.config_map_key_ref, &bundle.secret_key_ref) {
        (Some(key), _) => Some(Reference::config_map(namespace, &key.name)),
        (None, key) => key.as_ref().map(|key| Reference::secret(namespace, &key.name)),
    }
}

/// Reads what a provider refers to and checks it.
///
/// # Errors
/// The outer one when the API server does not answer, the inner one when the provider cannot be used.
pub async fn settings(
    provider: &TelephonyProvider,
    references: &References,
) -> Result<Checked<ProviderConfig>, ReconcileError> {
    let (namespace, spec) = (provider.namespace().unwrap_or_default(), &provider.spec);
    let Some(key) = spec.account().and_then(ProviderAccount::secret_ref) else {
        return Ok(Err(Problem::permanent(
            Ready::InvalidSpec,
            "The spec names no account with a credential: one of http, oktaHook, twilio.authTokenRef and twilio.apiKey is needed.",
        )));
    };
    let secret = or_denied(references.secret(&namespace, &key.name).await, Ready::SecretNotFound)?;
    let credential = secret.and_then(|secret| secret_value::credential(secret.as_deref(), &namespace, key));
    let credential = match credential {
        Ok(credential) => credential,
        Err(problem) => return Ok(Err(problem)),
    };
    let ca_bundle = match &spec.ca_bundle_ref {
        None => None,
        Some(reference) => match secret_value::ca_bundle(references, &namespace, reference).await? {
            Ok(pem) => Some(pem),
            Err(problem) => return Ok(Err(problem)),
        },
    };
    Ok(build(spec, credential, ca_bundle))
}

/// Puts the parts together; pure.
fn build(
    spec: &TelephonyProviderSpec,
    credential: Secret<String>,
    ca_bundle: Option<String>,
) -> Result<ProviderConfig, Problem> {
    let account = match spec.account() {
        Some(ProviderAccount::Twilio(twilio)) => Account::Twilio {
            account_sid: twilio.account_sid.clone(),
            api_key_sid: twilio.api_key.as_ref().map(|key| key.sid.clone()),
            auth_token: credential,
            base_url: twilio.base_url(),
            options: twilio_options(twilio),
        },
        Some(ProviderAccount::Http(http)) => Account::Http { url: http.url.clone(), token: credential },
        Some(ProviderAccount::OktaHook(hook)) => okta_hook(hook, credential)?,
        None => {
            return Err(Problem::permanent(
                Ready::InvalidSpec,
                "The spec has none of the provider blocks twilio, http and oktaHook.",
            ));
        }
    };
    let senders: Vec<Sender> = spec
        .senders
        .iter()
        .map(|sender| Sender {
            channel: sender.channel,
            countries: sender.countries.clone(),
            from: sender.from.clone(),
        })
        .collect();
    if let Err(unfit) = providers::sender_rules::check(&senders) {
        return Err(Problem::permanent(Ready::InvalidSpec, format!("The provider cannot be used: {unfit}.")));
    }
    let probe = probe(&spec.probe.clone().unwrap_or_default());
    let provider = ProviderConfig { account, senders, probe, max_in_flight: spec.max_in_flight(), ca_bundle };
    match judge(&provider) {
        Ok(()) => Ok(provider),
        Err(error) => Err(Problem::permanent(Ready::InvalidSpec, format!("The provider cannot be used: {error}."))),
    }
}

fn okta_hook(hook: &OktaHookProvider, credential: Secret<String>) -> Result<Account, Problem> {
    let auth = match &hook.auth {
        OktaHookAuth { header: Some(header), .. } => {
            OktaHookCredential::Header(HookCredential { header: header.name().to_owned(), secret: credential })
        }
        OktaHookAuth { oauth2: Some(client), .. } => OktaHookCredential::Token(TokenClient {
            token_url: client.token_url.clone(),
            client_id: client.client_id.clone(),
            client_secret: credential,
            scope: client.scope.clone(),
            authentication: match client.authentication {
                Some(ClientAuthentication::ClientSecretBasic) => SecretPlacement::ClientSecretBasic,
                Some(ClientAuthentication::ClientSecretPost) | None => SecretPlacement::ClientSecretPost,
            },
        }),
        OktaHookAuth { header: None, oauth2: None } => {
            return Err(Problem::permanent(Ready::InvalidSpec, "oktaHook.auth needs one of header and oauth2."));
        }
    };
    let headers =
        hook.headers.iter().map(|header| PlainHeader { name: header.name.clone(), value: header.value.clone() });
    Ok(Account::OktaHook { url: hook.url.clone(), auth, headers: headers.collect() })
}

fn twilio_options(spec: &TwilioProvider) -> TwilioOptions {
    TwilioOptions {
        content_retention: spec.content_retention.map(|retention| match retention {
            api::ContentRetention::Retain => ContentRetention::Retain,
            api::ContentRetention::Discard => ContentRetention::Discard,
        }),
        address_retention: spec.address_retention.map(|retention| match retention {
            api::AddressRetention::Retain => AddressRetention::Retain,
            api::AddressRetention::Obfuscate => AddressRetention::Obfuscate,
        }),
        risk_check: spec.risk_check.map(|check| match check {
            api::RiskCheck::Enable => RiskCheck::Enable,
            api::RiskCheck::Disable => RiskCheck::Disable,
        }),
        status_callback: spec.status_callback.clone(),
        verify: spec.verify.as_ref().map(|verify| TwilioVerify {
            service_sid: verify.service_sid.clone(),
            template_sid: verify.template_sid.clone(),
        }),
    }
}

/// Whether a gateway will take a provider, by the provider's own adapter and by TLS.
///
/// # Errors
/// Why not; nothing of its credential.
pub fn judge(provider: &ProviderConfig) -> Result<(), String> {
    providers::adapter(provider).map_err(|error| error.to_string())?;
    let Some(pem) = &provider.ca_bundle else { return Ok(()) };
    net::ca_bundle(pem).map(drop).map_err(|error| error.to_string())
}

fn probe(spec: &ProbeSpec) -> Probe {
    let millis =
        |given: Option<hookswitch_api::Duration>, default| given.map_or(default, hookswitch_api::Duration::millis);
    Probe {
        interval_ms: millis(spec.interval, 30_000),
        timeout_ms: millis(spec.timeout, 5_000),
        fall: spec.fall.unwrap_or(3),
        rise: spec.rise.unwrap_or(2),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(provider: &serde_json::Value, senders: &serde_json::Value) -> TelephonyProviderSpec {
        let mut spec = json!({"senders": senders});
        for (key, value) in provider.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_provider_without_a_probe_block_is_probed_as_documented() {
        let http = json!({"http": {"url": "https://c.example/", "tokenRef": {"name": "s", "key": "k"}}});
        let built = build(&spec(&http, &json!([{"channel": "SMS", "from": "ACME"}])), "token".into(), None).unwrap();
        assert_eq!(built.probe, Probe { interval_ms: 30_000, timeout_ms: 5_000, fall: 3, rise: 2 });
        assert_eq!(built.max_in_flight, 256);
    }

    #[test]
    fn an_api_key_replaces_the_account_and_its_token() {
        let account = format!("AC{}", "0".repeat(32));
        let key = format!("SK{}", "1".repeat(32));
        let secret_ref = json!({"name": "s", "key": "secret"});
        let twilio = json!({"twilio": {"accountSid": account, "apiKey": {"sid": key, "secretRef": secret_ref}}});
        let spec = spec(&twilio, &json!([{"channel": "SMS", "from": "ACME"}]));
        assert_eq!(spec.account().and_then(ProviderAccount::secret_ref).map(|key| key.key.as_str()), Some("secret"));
        let Account::Twilio { api_key_sid, auth_token, .. } = build(&spec, "s3cret".into(), None).unwrap().account
        else {
            panic!("not Twilio");
        };
        assert_eq!((api_key_sid, auth_token.expose().as_str()), (Some(key), "s3cret"));
    }

    #[test]
    fn an_okta_hook_is_built_with_its_header_or_with_its_client() {
        let secret_ref = json!({"name": "s", "key": "k"});
        let hook = |auth: serde_json::Value| {
            let headers = json!([{"name": "X-Env", "value": "prod"}]);
            json!({"oktaHook": {"url": "https://hooks.vendor.example/okta", "auth": auth, "headers": headers}})
        };
        let built = |auth| {
            let spec = spec(&hook(auth), &json!([]));
            assert_eq!(spec.account().and_then(ProviderAccount::secret_ref).map(|key| key.key.as_str()), Some("k"));
            match build(&spec, "s3cret".into(), None).unwrap().account {
                Account::OktaHook { auth, headers, .. } if headers.len() == 1 => auth,
                other => panic!("{other:?}"),
            }
        };
        let header = HookCredential { header: "Authorization".into(), secret: "s3cret".into() };
        assert_eq!(built(json!({"header": {"secretRef": secret_ref}})), OktaHookCredential::Header(header));
        let token_url = "https://login.vendor.example/token";
        let client = json!({"tokenURL": token_url, "clientID": "0oa1", "clientSecretRef": secret_ref, "scope": "otp",
            "authentication": "ClientSecretBasic"});
        let expected = TokenClient {
            token_url: token_url.into(),
            client_id: "0oa1".into(),
            client_secret: "s3cret".into(),
            scope: Some("otp".into()),
            authentication: SecretPlacement::ClientSecretBasic,
        };
        assert_eq!(built(json!({"oauth2": client})), OktaHookCredential::Token(expected));
        let shown_twice = hook(json!({"header": {"name": "X-Env", "secretRef": secret_ref}}));
        let problem = build(&spec(&shown_twice, &json!([])), "s3cret".into(), None).unwrap_err();
        assert!(format!("{problem:?}").contains("the header X-Env cannot be used"), "{problem:?}");
    }

    #[test]
    fn what_twilio_is_asked_for_comes_to_its_adapter() {
        let account = format!("AC{}", "0".repeat(32));
        let secret_ref = json!({"name": "s", "key": "k"});
        let verify =
            json!({"serviceSid": format!("VA{}", "0".repeat(32)), "templateSid": format!("HJ{}", "0".repeat(32))});
        let options = |block: serde_json::Value| {
            let mut twilio = json!({"accountSid": account, "authTokenRef": secret_ref});
            twilio.as_object_mut().unwrap().extend(block.as_object().unwrap().clone());
            let spec = spec(&json!({"twilio": twilio}), &json!([]));
            let Account::Twilio { base_url, options, .. } = build(&spec, "s3cret".into(), None).unwrap().account else {
                panic!("not Twilio");
            };
            (base_url, serde_json::to_value(options).unwrap())
        };
        let asked = json!({"contentRetention": "Discard", "addressRetention": "Obfuscate", "riskCheck": "Disable",
            "statusCallback": "https://otp.acme.example/"});
        assert_eq!(options(asked.clone()), ("https://api.twilio.com".to_owned(), asked));
        let asked = json!({"contentRetention": "Retain", "addressRetention": "Retain", "riskCheck": "Enable"});
        assert_eq!(options(asked.clone()).1, asked);
        let (base_url, asked) = options(json!({"verify": verify, "region": "us1", "edge": "ashburn"}));
        assert_eq!((base_url.as_str(), asked), ("https://verify.ashburn.us1.twilio.com", json!({"verify": verify})));
    }

    #[test]
    fn a_name_for_the_us_is_reported_to_its_author() {
        let http = json!({"http": {"url": "https://c.example/", "tokenRef": {"name": "s", "key": "k"}}});
        let spec = spec(&http, &json!([{"channel": "SMS", "countries": ["SE", "US"], "from": "ACME"}]));
        let problem = build(&spec, "token".into(), None).unwrap_err();
        assert_eq!((problem.reason, problem.stalled), (Ready::InvalidSpec, true));
        assert!(problem.message.contains("networks in US take no names"), "{}", problem.message);
    }

    #[test]
    fn a_twilio_voice_sender_that_is_no_number_is_reported_to_its_author() {
        let twilio = json!({"twilio": {"accountSid": format!("AC{}", "0".repeat(32)), "authTokenRef": {"name": "s", "key": "k"}}});
        let problem =
            build(&spec(&twilio, &json!([{"channel": "Voice", "from": "ACME"}])), "token".into(), None).unwrap_err();
        assert_eq!((problem.reason, problem.stalled), (Ready::InvalidSpec, true));
        assert!(problem.message.contains("sender 0"), "{}", problem.message);
    }

    #[test]
    fn a_ca_bundle_that_tls_does_not_take_is_reported_at_the_provider() {
        let http = json!({"http": {"url": "https://c.example/", "tokenRef": {"name": "s", "key": "k"}}});
        let spec = spec(&http, &json!([{"channel": "SMS", "from": "ACME"}]));
        let made = rcgen::generate_simple_self_signed(vec!["c.example".into()]).unwrap();
        assert!(build(&spec, "token".into(), Some(made.cert.pem())).is_ok());
        for bundle in [String::new(), "x".to_owned(), made.signing_key.serialize_pem()] {
            let problem = build(&spec, "token".into(), Some(bundle)).unwrap_err();
            assert!(problem.stalled && problem.message.contains("CA bundle"), "{}", problem.message);
        }
    }

    #[test]
    fn a_credential_that_no_header_can_carry_is_refused_without_being_shown() {
        let http = json!({"http": {"url": "https://c.example/", "tokenRef": {"name": "s", "key": "k"}}});
        let problem =
            build(&spec(&http, &json!([{"channel": "SMS", "from": "ACME"}])), "to\u{7f}ken".into(), None).unwrap_err();
        assert!(!problem.message.contains("ken"), "{}", problem.message);
    }
}
