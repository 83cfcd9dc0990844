//! One call to the management API at a time: bounded, timed, never repeated, never redirected.
//!
//! What a failure means is decided by [`crate::error`]; when to call is decided by [`crate::limits`]; what to
//! call by [`crate::plan`]. A retry is the caller's decision, made from Okta's state.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use url::Url;

use crate::answer::{self, Received};
use crate::error::{CallError, Failure};
use crate::log;
use crate::text::without_secrets;
use crate::types::{
    ApiAnswer, HookContent, HookId, ObservedHook, OktaCredential, OrgDocument, OrgIdentity, OrgUrl, TELEPHONY,
};
use crate::wire;
use hookswitch_message::Secret;
use hookswitch_net as net;
use hookswitch_net::ClientError;

/// Time for one call, from the first byte sent to the last byte read.
pub const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// Most bytes of an answer that are read.
const BODY_CAP: usize = 1 << 20;

/// Most pages of a list. Okta documents none for inline hooks; an org has 100 of them at most.
const MOST_PAGES: usize = 10;

/// What a call comes to.
pub type CallResult<T> = Result<ApiAnswer<T>, CallError>;

/// The management API as the planner's executor needs it; tests put faults between the two.
pub trait Api: Send + Sync {
    /// All telephony hooks of the org.
    fn list_hooks(&self) -> BoxFuture<'_, CallResult<Vec<ObservedHook>>>;
    /// One hook.
    fn get<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>>;
    /// Creates a hook. Okta makes it ACTIVE whatever is asked.
    fn create<'a>(&'a self, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>>;
    /// Replaces everything of a hook but its type and status.
    fn replace<'a>(&'a self, id: &'a HookId, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>>;
    /// Makes Okta call the hook.
    fn activate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>>;
    /// Makes Okta stop calling the hook.
    fn deactivate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>>;
    /// Deletes an INACTIVE hook.
    fn delete<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<()>>;
}

/// The management API of one org over HTTPS.
#[derive(Debug, Clone)]
pub struct OktaClient {
    org: OrgUrl,
    credential: OktaCredential,
    http: net::Client,
    deadline: Duration,
}

impl OktaClient {
    /// A client of `org`. `http` decides trust, proxy and address guard.
    #[must_use]
    pub fn new(org: OrgUrl, credential: OktaCredential, http: net::Client) -> Self {
        Self { org, credential, http, deadline: CALL_DEADLINE }
    }

    /// The same client with another time for one call.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The org it speaks to.
    #[must_use]
    pub const fn org(&self) -> &OrgUrl {
        &self.org
    }

    /// Which org answers here. Asked without the credential: the document is public.
    ///
    /// # Errors
    /// [`CallError`] for anything but the document or its absence.
    pub async fn organization(&self) -> CallResult<OrgDocument> {
        let doing = "read the org's identity";
        let url = self.org.at("/.well-known/okta-organization");
        let request = Call { doing, method: Method::GET, url, body: None, secret: None, public: true };
        let received = match self.call(request, self.deadline).await {
            // a document that an org does not have is no call of the API's, and its absence may be answered by a page
            Err(CallError {
                failure: Failure::NotFound | Failure::NotOkta { status: 404 }, request_id, rate, ..
            }) => {
                let identity = OrgIdentity::HostName(self.org.host().to_owned());
                return Ok(ApiAnswer { value: OrgDocument { identity, domains: Vec::new() }, request_id, rate });
            }
            other => other?,
        };
        received.read(doing, |body| {
            let identity = wire::read_organization(body).map(OrgIdentity::Id)?;
            Ok(OrgDocument { identity, domains: wire::read_domains(body) })
        })
    }

    /// Makes Okta call the hook with `body` and answers what the hook said. Okta gives the hook 3 s and one retry, so
    /// `deadline` should be above 6 s. A hook that fails is [`Failure::Refused`] with 400 and Okta's reason, or 5xx.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn execute(
        &self,
        id: &HookId,
        body: &serde_json::Value,
        deadline: Duration,
    ) -> CallResult<serde_json::Value> {
        let doing = "execute a hook";
        let url = self.org.at(&format!("/api/v1/inlineHooks/{id}/execute"));
        let body = Some(body.to_string().into_bytes());
        let received =
            self.call(Call { doing, method: Method::POST, url, body, secret: None, public: false }, deadline).await?;
        received.read(doing, |body| serde_json::from_slice(body).map_err(|_| "the answer is not JSON"))
    }

    /// A page of the System Log.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn log(&self, from: &log::From) -> CallResult<log::Page> {
        let doing = "read the System Log";
        let url = match from {
            log::From::Next(next) => next.clone(),
            log::From::Since(since) => {
                let mut url = self.org.at("/api/v1/logs");
                let (since, limit) = (log::as_asked(*since), log::PAGE.to_string());
                url.query_pairs_mut()
                    .append_pair("since", &since)
                    .append_pair("filter", log::FILTER)
                    .append_pair("sortOrder", "ASCENDING")
                    .append_pair("limit", &limit);
                url
            }
        };
        let call = Call { doing, method: Method::GET, url: url.clone(), body: None, secret: None, public: false };
        let received = self.call(call, self.deadline).await?;
        let next = answer::next_page(&received.headers, &url).map(|next| self.org.here(&next));
        if next.as_ref().is_some_and(|next| next.path().trim_end_matches('/') != "/api/v1/logs") {
            return Err(unclear(doing, "the log goes on at an address outside the org's System Log"));
        }
        let page = received.read(doing, log::read)?;
        let (events, full) = page.value;
        Ok(ApiAnswer { value: log::Page { events, full, next }, request_id: page.request_id, rate: page.rate })
    }

    async fn list(&self) -> CallResult<Vec<ObservedHook>> {
        let doing = "list telephony hooks";
        let mut url = self.org.at("/api/v1/inlineHooks");
        url.query_pairs_mut().append_pair("type", TELEPHONY);
        let mut all: Vec<ObservedHook> = Vec::new();
        for _ in 0..MOST_PAGES {
            let call = Call { doing, method: Method::GET, url: url.clone(), body: None, secret: None, public: false };
            let received = self.call(call, self.deadline).await?;
            let next = answer::next_page(&received.headers, &url).map(|next| self.org.here(&next));
            let page = received.read(doing, wire::read_hooks)?;
            all.extend(page.value);
            let Some(next) = next else {
                all.sort_by(|a, b| a.id.cmp(&b.id));
                all.dedup_by(|a, b| a.id == b.id);
                return Ok(ApiAnswer { value: all, request_id: page.request_id, rate: page.rate });
            };
            if next.path().trim_end_matches('/') != "/api/v1/inlineHooks" {
                return Err(unclear(doing, "the list goes on at an address outside the org's inline hooks"));
            }
            url = next;
        }
        Err(unclear(doing, "the list has more than 10 pages"))
    }

    async fn one(
        &self,
        doing: &'static str,
        method: Method,
        path: String,
        content: Option<&HookContent>,
    ) -> CallResult<ObservedHook> {
        let create = method == Method::POST;
        let body = content.map(|content| wire::write_hook(content, create)).transpose();
        let body = body
            .map_err(|_| failed(doing, Failure::Unreachable { detail: "the hook cannot be written as JSON".into() }))?;
        let url = self.org.at(&path);
        let secret = content.map(|content| content.secret.expose().as_str());
        let received = self.call(Call { doing, method, url, body, secret, public: false }, self.deadline).await?;
        received.read(doing, |body| wire::read_hook(body)?.ok_or("the answer is a hook of another type"))
    }

    /// A lifecycle call. Okta documents that it answers the hook; an answer that is empty says yes as well, and the hook is
    /// read then.
    async fn lifecycle(&self, doing: &'static str, id: &HookId, act: &str) -> CallResult<ObservedHook> {
        let url = self.org.at(&format!("/api/v1/inlineHooks/{id}/lifecycle/{act}"));
        let call = Call { doing, method: Method::POST, url, body: None, secret: None, public: false };
        let received = self.call(call, self.deadline).await?;
        if !received.body.is_empty() {
            return received.read(doing, |body| wire::read_hook(body)?.ok_or("the answer is a hook of another type"));
        }
        let read = self.get(id).await;
        // the call was taken, so nothing that the read meets is its refusal
        read.map_err(|error| CallError {
            doing,
            failure: Failure::Unclear { detail: format!("it is empty, and then: {}", error.reason()) },
            ..error
        })
    }

    /// Sends once, reads within bounds, and sorts everything but a 2xx into a [`Failure`].
    async fn call(&self, call: Call<'_>, deadline: Duration) -> Result<Received, CallError> {
        let doing = call.doing;
        match tokio::time::timeout(deadline, self.exchange(call)).await {
            Ok(result) => result,
            Err(_) => Err(unclear(doing, format!("none within {} ms", deadline.as_millis()))),
        }
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Received, CallError> {
        let doing = call.doing;
        let hidden: Vec<&str> = std::iter::once(self.credential.secret()).chain(call.secret).collect();
        let mut headers = vec![(ACCEPT, Secret::from("application/json"))];
        if !call.public {
            headers.push((AUTHORIZATION, self.credential.authorization()));
        }
        if call.body.is_some() {
            headers.push((CONTENT_TYPE, Secret::from("application/json")));
        }
        let body = Secret::new(call.body.unwrap_or_default());
        let request = net::Request { method: call.method, url: call.url, headers, body };
        let sent = self.http.send(&request).await;
        let mut response = sent.map_err(|error| failed(doing, unanswered(&error, &hidden)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let (request_id, rate) = (answer::request_id(&headers), answer::rate_limit(&headers));
        let with = |failure| CallError { doing, failure, request_id: request_id.clone(), rate };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_CAP => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return Err(with(answer::unfinished(status, &headers, "it is larger than 1 MiB"))),
                Ok(None) => break,
                Err(_) => return Err(with(answer::unfinished(status, &headers, "it broke off"))),
            }
        }
        if status.is_success() {
            return Ok(Received { headers, body, request_id, rate });
        }
        Err(with(answer::failure(status, &headers, &body, &hidden)))
    }
}

struct Call<'a> {
    doing: &'static str,
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
    /// A secret in the body, which an answer might echo.
    secret: Option<&'a str>,
    /// Sent without the credential.
    public: bool,
}

impl Api for OktaClient {
    fn list_hooks(&self) -> BoxFuture<'_, CallResult<Vec<ObservedHook>>> {
        self.list().boxed()
    }

    fn get<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.one("read a hook", Method::GET, format!("/api/v1/inlineHooks/{id}"), None).boxed()
    }

    fn create<'a>(&'a self, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.one("create a hook", Method::POST, "/api/v1/inlineHooks".into(), Some(content)).boxed()
    }

    fn replace<'a>(&'a self, id: &'a HookId, content: &'a HookContent) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.one("update a hook", Method::PUT, format!("/api/v1/inlineHooks/{id}"), Some(content)).boxed()
    }

    fn activate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.lifecycle("activate a hook", id, "activate").boxed()
    }

    fn deactivate<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<ObservedHook>> {
        self.lifecycle("deactivate a hook", id, "deactivate").boxed()
    }

    fn delete<'a>(&'a self, id: &'a HookId) -> BoxFuture<'a, CallResult<()>> {
        async move {
            let doing = "delete a hook";
            let url = self.org.at(&format!("/api/v1/inlineHooks/{id}"));
            let call = Call { doing, method: Method::DELETE, url, body: None, secret: None, public: false };
            let received = self.call(call, self.deadline).await?;
            // documented is 204; a page of something before Okta is no yes
            let empty = |body: &[u8]| body.is_empty() || serde_json::from_slice::<serde_json::Value>(body).is_ok();
            received.read(doing, |body| if empty(body) { Ok(()) } else { Err("the answer is not Okta's") })
        }
        .boxed()
    }
}

/// What it means that nothing came back.
fn unanswered(error: &ClientError, hidden: &[&str]) -> Failure {
    match error {
        ClientError::NotSent(cause) => Failure::Unreachable { detail: without_secrets(cause, hidden, 200) },
        ClientError::BrokeOff(cause) => {
            let cause = without_secrets(cause, hidden, 200);
            Failure::Unclear { detail: format!("the exchange broke off: {cause}") }
        }
    }
}

fn failed(doing: &'static str, failure: Failure) -> CallError {
    CallError { doing, failure, request_id: None, rate: None }
}

fn unclear(doing: &'static str, detail: impl Into<String>) -> CallError {
    failed(doing, Failure::Unclear { detail: detail.into() })
}
