//! Okta's management API for telephony inline hooks, and what an org's hooks should become.
//!
//! Two halves. The pure one decides: [`plan`] compares what Okta has ([`types::ObservedHook`]) with what the resources
//! declare and answers ordered steps or the reason why there are none; [`drift`] names differences, [`owner_tag`] says whose
//! hook it is, [`limits`] when a call may be made, [`plan_record`] what is written down before the first call. The thin one
//! acts: [`client`] makes one call, [`run`] performs a plan's steps and reads back.
//!
//! Nothing here knows Kubernetes. The operator turns resources into [`plan::DesiredOrg`] and reports into status.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests connect to what they opened themselves"))]

mod answer;
pub mod audit;
pub mod client;
pub mod drift;
pub mod error;
pub mod fingerprint;
pub mod limits;
pub mod log;
pub mod owner_tag;
pub mod plan;
pub mod plan_record;
pub mod run;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
pub mod types;
mod wire;

pub use client::{Api, OktaClient};
pub use error::{CallError, Failure, FailureKind, TookEffect};
pub use plan::{DesiredHook, DesiredOrg, Plan, plan};
pub use types::{ApiAnswer, ApiToken, HookId, ObjectRef, ObservedHook, OktaCredential, OrgUrl};
