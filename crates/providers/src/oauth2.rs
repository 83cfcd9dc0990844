//! Tokens of an OAuth 2.0 token endpoint by the grant `client_credentials` (RFC 6749, sections 2.3.1, 4.4 and 5).

use std::time::Duration;

use ::http::{Method, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use url::Url;
use zeroize::Zeroize;

use super::{
    InvalidProvider, ProviderAnswer,
    answer::class_by_status,
    credential::{Credential, Issued},
    outcome::{Class, Refusal, Scope},
    request_url,
};
use hookswitch_gateway_config::document::{SecretPlacement, TokenClient};
use hookswitch_message::Secret;
use hookswitch_request::Request;

/// How long a token is taken to be good whose answer does not say.
const UNSAID_LIFETIME: Duration = Duration::from_mins(5);
/// The longest life of a token that is believed.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// The longest token: what still fits a header line of common servers.
const MAX_TOKEN: usize = 8 * 1024;

/// The words of RFC 6749 and RFC 8628 for why no token is given. Another word may be anything, the secret itself included.
const ERRORS: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "access_denied",
    "server_error",
    "temporarily_unavailable",
    "slow_down",
];

/// A token endpoint, and the client that asks it.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    url: Url,
    client: TokenClient,
}

impl TokenEndpoint {
    /// The endpoint of a client.
    ///
    /// # Errors
    /// [`InvalidProvider`] when no request can be made of it.
    pub(super) fn new(client: &TokenClient) -> Result<Self, InvalidProvider> {
        if client.client_id.is_empty() || client.client_secret.expose().is_empty() {
            return Err(InvalidProvider::Credential);
        }
        Ok(Self { url: request_url(&client.token_url)?, client: client.clone() })
    }

    pub(super) fn request(&self) -> Request {
        let TokenClient { client_id, client_secret, scope, authentication, .. } = &self.client;
        let mut headers = vec![
            (header::CONTENT_TYPE, Secret::from("application/x-www-form-urlencoded")),
            (header::ACCEPT, Secret::from("application/json")),
        ];
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = scope {
            form.append_pair("scope", scope);
        }
        match authentication {
            SecretPlacement::ClientSecretPost => {
                form.append_pair("client_id", client_id).append_pair("client_secret", client_secret.expose());
            }
            SecretPlacement::ClientSecretBasic => {
                // both are encoded as in a form before they are joined
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let mut pair = format!("{}:{}", encoded(client_id), encoded(client_secret.expose()));
                headers.push((header::AUTHORIZATION, Secret::new(format!("Basic {}", BASE64_STANDARD.encode(&pair)))));
                pair.zeroize();
            }
        }
        Request { method: Method::POST, url: self.url.clone(), headers, body: Secret::new(form.finish().into_bytes()) }
    }

    /// The token of an answer. Codes of refusals begin with `token-`, so that they are not taken for the provider's own.
    pub(super) fn issued(answer: &ProviderAnswer) -> Result<Issued, Refusal> {
        let account = Class::PermanentConfig(Scope::Account);
        let fields = answer.fields().unwrap_or_default();
        if !answer.is_success() {
            let own = fields.text("error").and_then(|error| ERRORS.iter().find(|known| **known == error).copied());
            let class = match answer.status {
                // how OAuth says that client, scope or grant are wrong
                400 if own.is_some() => account,
                status => class_by_status(status).unwrap_or(Class::Transient),
            };
            return Err(
                answer.refusal(class, format!("token-{}", own.map_or_else(|| answer.status_code(), str::to_owned)))
            );
        }
        let is_bearer = fields.text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
        let token = fields.text("access_token").filter(|token| {
            is_bearer && (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
        });
        let Some(token) = token else {
            return Err(answer.refusal(Class::Transient, "token-unreadable".to_owned()));
        };
        let lifetime =
            fields.number("expires_in").map_or(UNSAID_LIFETIME, |seconds| Duration::from_secs(seconds.into()));
        Ok(Issued {
            credential: Credential::Token(Secret::new(token.into_owned())),
            lifetime: lifetime.min(LONGEST_LIFETIME),
        })
    }

    pub(super) fn is_for_the_same(&self, other: &Self) -> bool {
        self.url == other.url
            && self.client.client_id == other.client.client_id
            && self.client.scope == other.client.scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(authentication: SecretPlacement) -> TokenEndpoint {
        TokenEndpoint::new(&TokenClient {
            token_url: "https://acme.okta.com/oauth2/default/v1/token".into(),
            client_id: "0oa:1 2".into(),
            client_secret: "s3&cret".into(),
            scope: Some("otp.send otp.read".into()),
            authentication,
        })
        .unwrap()
    }

    fn answered(status: u16, body: &str) -> Result<Issued, Refusal> {
        let answer = ProviderAnswer { status, retry_after: Some("7".into()), body: body.as_bytes().to_vec() };
        TokenEndpoint::issued(&answer)
    }

    fn header_of(request: &Request, name: &::http::HeaderName) -> Option<String> {
        request.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.expose().clone())
    }

    #[test]
    fn a_client_shows_its_secret_in_the_form_or_in_the_header_and_never_in_both() {
        let posted = endpoint(SecretPlacement::ClientSecretPost).request();
        assert_eq!(
            String::from_utf8_lossy(posted.body.expose()),
            "grant_type=client_credentials&scope=otp.send+otp.read&client_id=0oa%3A1+2&client_secret=s3%26cret"
        );
        assert_eq!(header_of(&posted, &header::AUTHORIZATION), None);
        let basic = endpoint(SecretPlacement::ClientSecretBasic).request();
        assert_eq!(
            String::from_utf8_lossy(basic.body.expose()),
            "grant_type=client_credentials&scope=otp.send+otp.read"
        );
        // base64 of 0oa%3A1+2:s3%26cret, by coreutils
        assert_eq!(header_of(&basic, &header::AUTHORIZATION).unwrap(), "Basic MG9hJTNBMSsyOnMzJTI2Y3JldA==");
    }

    #[test]
    fn a_token_is_read_as_rfc_6749_and_common_servers_write_it() {
        let issued = |token: &str, seconds| {
            Ok(Issued { credential: Credential::Token(token.into()), lifetime: Duration::from_secs(seconds) })
        };
        for (says, body, expected) in [
            // RFC 6749, section 4.4.3
            (
                "the example of the RFC",
                r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,"example_parameter":"v"}"#,
                None,
            ),
            (
                "Okta",
                r#"{"token_type":"Bearer","expires_in":3600,"access_token":"eyJraWQ.a.b","scope":"otp.send"}"#,
                Some(issued("eyJraWQ.a.b", 3_600)),
            ),
            (
                "a lifetime as text",
                r#"{"token_type":"bearer","expires_in":"599","access_token":"t"}"#,
                Some(issued("t", 599)),
            ),
            ("neither kind nor lifetime", r#"{"access_token":"t"}"#, Some(issued("t", 300))),
            ("nulls", r#"{"access_token":"t","token_type":null,"expires_in":null}"#, Some(issued("t", 300))),
            ("a year", r#"{"access_token":"t","expires_in":31536000}"#, Some(issued("t", 86_400))),
            ("no token", r#"{"token_type":"bearer"}"#, None),
            ("a token that fits no header", "{\"access_token\":\"a b\"}", None),
            ("no JSON", "<html>", None),
        ] {
            let unreadable =
                || Err(Refusal { class: Class::Transient, code: "token-unreadable".into(), retry_after_s: Some(7) });
            assert_eq!(answered(200, body), expected.unwrap_or_else(unreadable), "{says}");
        }
    }

    #[test]
    fn why_there_is_no_token_says_whether_it_is_the_client_or_the_server() {
        let account = Class::PermanentConfig(Scope::Account);
        for (status, body, class, code) in [
            (401, r#"{"error":"invalid_client","error_description":"x"}"#, account, "token-invalid_client"),
            (400, r#"{"error":"invalid_scope"}"#, account, "token-invalid_scope"),
            (401, r#"{"error":"s3&cret"}"#, account, "token-http-401"),
            (400, "", Class::Unknown, "token-http-400"),
            (403, "", account, "token-http-403"),
            (429, "", Class::Throttled, "token-http-429"),
            (503, "<html>", Class::Transient, "token-http-503"),
            (504, "", Class::Transient, "token-http-504"),
            (302, "", account, "token-http-302"),
        ] {
            let refusal = answered(status, body).unwrap_err();
            assert_eq!((refusal.class, refusal.code.as_str()), (class, code), "{status} {body}");
        }
    }
}
