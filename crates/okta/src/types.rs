//! The nouns of Okta's inline hook API, validated where they enter. How they look on the wire is in `wire`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use crate::text::one_line;
use hookswitch_message::Secret;

/// The inline hook type this product manages; every other type is ignored.
pub const TELEPHONY: &str = "com.okta.telephony.provider";

/// The only documented version of an inline hook and of its channel.
pub const VERSION: &str = "1.0.0";

/// Inline hooks of all types that an org may have (raised from 50 in June 2024).
pub const MAX_HOOKS_PER_ORG: usize = 100;

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// The org's address is not usable.
    #[error("the org's address must be like https://acme.okta.com: {0}")]
    OrgUrl(&'static str),
    /// The token cannot be an Okta API token.
    #[error(
        "the API token must be 1 to 1024 visible ASCII characters without spaces; check the Secret for a line break"
    )]
    ApiToken,
    /// The text cannot be an Okta hook id.
    #[error("an Okta hook id must be 1 to 64 letters, digits, '-', '.', '_' or '~', and not dots alone")]
    HookId,
}

/// One of our Kubernetes objects, as the planner and the audit name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl ObjectRef {
    /// Names an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Okta's id of an inline hook (`cal…`). It becomes a path segment, so it is checked before it exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(String);

impl HookId {
    /// Takes an id as Okta spelled it.
    ///
    /// # Errors
    /// [`InvalidValue::HookId`] when it could leave its path segment or is longer than 64 characters.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidValue> {
        let id = id.into();
        let fits = (1..=64).contains(&id.len());
        // what a path's segment takes as it is (RFC 3986, section 2.3); dots alone would leave it
        let clean = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        let stays = id.bytes().any(|b| b != b'.');
        if fits && clean && stays { Ok(Self(id)) } else { Err(InvalidValue::HookId) }
    }

    /// The id as Okta spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Domains below which Okta has its orgs.
const OKTAS: [&str; 5] = [".okta.com", ".oktapreview.com", ".okta-emea.com", ".okta-gov.com", ".okta.mil"];

fn is_oktas(host: &str) -> bool {
    OKTAS.iter().any(|domain| host.ends_with(domain))
}

/// An org's base address: `https`, a host, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgUrl(Url);

impl OrgUrl {
    /// Reads an org's address. A trailing slash is accepted.
    ///
    /// # Errors
    /// [`InvalidValue::OrgUrl`] says what is in the way; an admin console address (`acme-admin.okta.com`) is one such thing,
    /// since the management API wants the org's own.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let wrong = InvalidValue::OrgUrl;
        let url = Url::parse(text).map_err(|_| wrong("it is not a URL"))?;
        if url.scheme() != "https" {
            return Err(wrong("it does not begin with https://"));
        }
        let host = url.host_str().ok_or(wrong("it names no host"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it carries a user name or password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a path, query or fragment"));
        }
        let first = host.split('.').next().unwrap_or_default().to_owned();
        let url = Self(url);
        if first.ends_with("-admin") && is_oktas(url.host()) {
            return Err(wrong("it is the admin console's; leave out '-admin'"));
        }
        Ok(url)
    }

    /// Host and port, as one org's addresses are distinguished.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.host();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether it is at a domain of Okta's own, so that TLS proves that Okta answers there.
    #[must_use]
    pub fn is_oktas(&self) -> bool {
        self.0.port().is_none() && is_oktas(self.host())
    }

    /// The host, lower case: the org's canonical name where Okta gives no id.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_end_matches('.')
    }

    /// The address of `path` (absolute, without query) at this org.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }

    /// The same path and query at this org. Okta may name itself by another host than the one that it is asked at (a custom
    /// domain, a proxy), and the credential goes to this one alone.
    pub(crate) fn here(&self, other: &Url) -> Url {
        let mut url = self.at(other.path());
        url.set_query(other.query());
        url
    }
}

impl fmt::Display for OrgUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// An Okta API token (`SSWS`). Cannot be printed.
#[derive(Clone)]
pub struct ApiToken(Arc<Secret<String>>);

impl ApiToken {
    /// Takes a token; a line break at its end, as files have, is dropped.
    ///
    /// # Errors
    /// [`InvalidValue::ApiToken`] when it cannot be sent in a header.
    pub fn new(token: &str) -> Result<Self, InvalidValue> {
        let token = token.trim_end_matches(['\r', '\n']);
        if !(1..=1024).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidValue::ApiToken);
        }
        Ok(Self(Arc::new(Secret::new(token.to_owned()))))
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// How a client proves who it is to the management API.
#[derive(Debug, Clone)]
pub enum OktaCredential {
    /// An API token with the rights of the admin who made it.
    ApiToken(ApiToken),
}

impl OktaCredential {
    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> Secret<String> {
        let Self::ApiToken(token) = self;
        Secret::new(format!("SSWS {}", token.0.expose()))
    }

    /// What must never appear in a message.
    #[must_use]
    pub fn secret(&self) -> &str {
        let Self::ApiToken(token) = self;
        token.0.expose()
    }
}

/// A custom header of a hook. Okta returns its value in clear, so it is no place for a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Header name; compared without regard to case.
    pub name: String,
    /// Header value.
    pub value: String,
}

impl Header {
    /// Names a header and its value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// What a hook in Okta carries beside the fields that are ours, such as an admin's opt-out of Okta's service protection. It is
/// sent back as it was read, since what a PUT leaves out is gone.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Takes what Okta showed; nothing where there is nothing to send back.
    #[must_use]
    pub fn new(entries: Map<String, Value>) -> Option<Self> {
        (!entries.is_empty()).then_some(Self(entries))
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} entries]", self.0.len())
    }
}

/// What a hook is to be, complete: Okta's PUT replaces everything and its POST takes nothing less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookContent {
    /// Name in Okta, unique among the org's inline hooks, at most 255 characters.
    pub name: String,
    /// Where Okta sends to; `https`, at most 1024 characters.
    pub uri: String,
    /// Custom headers, the ownership mark among them.
    pub headers: Vec<Header>,
    /// Name of the header that carries the secret.
    pub auth_header: String,
    /// The whole value of that header. Write-only at Okta: it is never returned.
    pub secret: Secret<String>,
    /// What the hook in Okta carries that is not ours; `None` when it is created.
    pub metadata: Option<Metadata>,
}

impl HookContent {
    /// The hook that Okta has once this is written to it.
    #[must_use]
    pub fn in_okta(&self, id: HookId, status: HookStatus) -> ObservedHook {
        ObservedHook {
            id,
            name: self.name.clone(),
            status,
            version: Some(VERSION.into()),
            channel_type: Some("HTTP".into()),
            channel_version: Some(VERSION.into()),
            uri: Some(self.uri.clone()),
            method: Some("POST".into()),
            headers: self.headers.clone(),
            auth_type: Some("HEADER".into()),
            auth_header: Some(self.auth_header.clone()),
            metadata: self.metadata.clone(),
        }
    }
}

/// Whether Okta calls a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookStatus {
    /// Okta calls it.
    Active,
    /// Okta does not call it.
    Inactive,
    /// A status this version does not know: taken for active when it is another's, and left alone when it is ours.
    Unreadable,
}

/// A telephony hook as Okta lists it. Only id, type and status are insisted on; what another tool left out is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedHook {
    /// Okta's id.
    pub id: HookId,
    /// Name in Okta, at most 255 characters kept.
    pub name: String,
    /// Whether Okta calls it.
    pub status: HookStatus,
    /// Version of the hook, `1.0.0` when ours.
    pub version: Option<String>,
    /// `HTTP` or `OAUTH`.
    pub channel_type: Option<String>,
    /// Version of the channel.
    pub channel_version: Option<String>,
    /// Where Okta sends to.
    pub uri: Option<String>,
    /// HTTP method, `POST` when ours.
    pub method: Option<String>,
    /// Custom headers in Okta's order.
    pub headers: Vec<Header>,
    /// `HEADER` when ours.
    pub auth_type: Option<String>,
    /// Name of the header that carries the secret; its value is never returned.
    pub auth_header: Option<String>,
    /// What it carries beside these fields.
    pub metadata: Option<Metadata>,
}

impl ObservedHook {
    /// The name, fit for a message.
    #[must_use]
    pub fn shown_name(&self) -> String {
        one_line(&self.name, 80)
    }
}

/// Okta's `X-Okta-Request-Id`: what Okta Support asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// Takes a request id when it is 1 to 128 visible ASCII characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The id as Okta spelled it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an answer said about the rate limit of its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls allowed in a window. 0 in the answer to a call refused for concurrency.
    pub limit: u32,
    /// Calls left in this window.
    pub remaining: u32,
    /// Time from the answer to the next window, by Okta's own clock where the answer said it; at most an hour.
    pub resets_in: Duration,
}

/// A definite answer, with what came beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAnswer<T> {
    /// The answer itself.
    pub value: T,
    /// Okta's id of the request.
    pub request_id: Option<RequestId>,
    /// The bucket after this call.
    pub rate: Option<RateLimit>,
}

/// Which org answers at an address. Two addresses (a custom domain) of one org have the same identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrgIdentity {
    /// The org's id, as `/.well-known/okta-organization` gives it.
    Id(String),
    /// The host name, where that document does not exist.
    HostName(String),
}

impl OrgIdentity {
    /// The identity as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Id(text) | Self::HostName(text) => text,
        }
    }
}

/// What an org says of itself to whoever asks. Who answers at a host of his own can say whatever he likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgDocument {
    /// Which org it is.
    pub identity: OrgIdentity,
    /// The hosts of its custom domains.
    pub domains: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_https_address_is_an_org() {
        for good in ["https://acme.okta.com", "https://acme.okta.com/", "https://okta.sandbox.svc:8443"] {
            assert!(OrgUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "acme.okta.com",
            "http://acme.okta.com",
            "https://user:pw@acme.okta.com",
            "https://acme.okta.com/api",
            "https://acme.okta.com?x=1",
            "https://acme.okta.com#x",
            "https://acme-admin.okta.com",
        ] {
            assert!(OrgUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hook_id_cannot_leave_its_path_segment() {
        assert!(HookId::new("calkwr8b9vKJ12kmg1d7").is_ok());
        assert!(HookId::new("cal.1~x").is_ok());
        for bad in ["", "a/b", ".", "..", "a?b", "a%2f", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(HookId::new(bad), Err(InvalidValue::HookId), "{bad}");
        }
    }

    #[test]
    fn a_token_never_shows_and_must_fit_a_header() {
        let token = ApiToken::new("00tokenvalue\n").unwrap();
        let credential = OktaCredential::ApiToken(token);
        assert!(!format!("{credential:?}").contains("00token"));
        assert!(!format!("{:?}", credential.authorization()).contains("00token"));
        assert!(ApiToken::new("a b").is_err());
        assert!(ApiToken::new("").is_err());
        assert!(ApiToken::new("a\r\nX-Evil: 1").is_err());
    }
}
