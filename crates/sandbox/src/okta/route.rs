//! Which call of the management API a method and path are.

use http::Method;

use super::faults::CallKind;
use crate::exchange::Request;

/// A call of the API, from its method and path.
#[derive(Clone, Copy)]
pub(super) enum Route<'a> {
    Identity,
    Logs,
    List,
    Create,
    Get(&'a str),
    Replace(&'a str),
    Update(&'a str),
    Delete(&'a str),
    Activate(&'a str),
    Deactivate(&'a str),
    Execute(&'a str),
}

impl Route<'_> {
    pub(super) fn kind(self) -> CallKind {
        match self {
            Self::Identity => CallKind::Identity,
            Self::Logs => CallKind::Logs,
            Self::List => CallKind::List,
            Self::Create => CallKind::Create,
            Self::Get(_) => CallKind::Get,
            Self::Replace(_) => CallKind::Replace,
            Self::Update(_) => CallKind::Update,
            Self::Delete(_) => CallKind::Delete,
            Self::Activate(_) => CallKind::Activate,
            Self::Deactivate(_) => CallKind::Deactivate,
            Self::Execute(_) => CallKind::Execute,
        }
    }
}

/// The call, when the org has one there. One slash at the end of a path makes no other.
pub(super) fn route(request: &Request) -> Option<Route<'_>> {
    let mut segments = request.segments();
    if segments.len() > 1 && segments.last().is_some_and(|last| last.is_empty()) {
        segments.pop();
    }
    let id_is_sane = |id: &str| !id.is_empty() && id.len() <= 64;
    Some(match (request.method.as_str(), segments.as_slice()) {
        ("GET", [".well-known", "okta-organization"]) => Route::Identity,
        ("GET", ["api", "v1", "logs"]) => Route::Logs,
        ("GET", ["api", "v1", "inlineHooks"]) => Route::List,
        ("POST", ["api", "v1", "inlineHooks"]) => Route::Create,
        (method, ["api", "v1", "inlineHooks", id]) if id_is_sane(id) => match method {
            "GET" => Route::Get(id),
            "PUT" => Route::Replace(id),
            "POST" => Route::Update(id),
            "DELETE" => Route::Delete(id),
            _ => return None,
        },
        ("POST", ["api", "v1", "inlineHooks", id, "execute"]) => Route::Execute(id),
        ("POST", ["api", "v1", "inlineHooks", id, "lifecycle", act]) => match *act {
            "activate" => Route::Activate(id),
            "deactivate" => Route::Deactivate(id),
            _ => return None,
        },
        _ => return None,
    })
}

/// The methods that the path has, as `Allow` lists them; empty for a path that the org does not have.
pub(super) fn methods(request: &Request) -> String {
    let has = |method: &Method| route(&Request { method: method.clone(), ..request.clone() }).is_some();
    let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE].into_iter().filter(has);
    methods.map(|method| method.to_string()).collect::<Vec<_>>().join(", ")
}
