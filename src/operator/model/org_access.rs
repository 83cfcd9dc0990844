//! Where an org is, how to prove who we are, and how much may be asked of it.

use ipnet::IpNet;

use hookswitch_api::OktaOrg;
use hookswitch_okta::{OktaCredential, OrgUrl, limits::Allowance};

/// Where an org is, and how to prove who we are.
#[derive(Debug, Clone)]
pub struct Access {
    /// The namespace that it is called for.
    pub namespace: String,
    /// The org's address.
    pub url: OrgUrl,
    /// The credential.
    pub credential: OktaCredential,
    /// PEM certificates trusted for this org besides the public ones.
    pub ca_bundle: Option<String>,
    /// Private ranges that it may live in.
    pub ranges: Vec<IpNet>,
}

/// How much of an org's rate limit may be ours.
#[must_use]
pub fn allowance(org: &OktaOrg) -> Allowance {
    let declared = org.spec.rate_limit.clone().unwrap_or_default();
    let default = Allowance::default();
    Allowance { share: declared.share.unwrap_or(default.share), reserve: declared.reserve.unwrap_or(default.reserve) }
}
