//! The reasons of conditions: what each says, in one place.
//!
//! A reason is part of the API: scripts and alerts match on it, so it is never renamed. The table in
//! `docs/reference/conditions.md` is made from these enums.

/// A condition's type with the reasons it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Documented {
    /// Type of the condition.
    pub condition: &'static str,
    /// What the condition tells.
    pub about: &'static str,
    /// Reasons with what they say.
    pub reasons: &'static [(&'static str, &'static str)],
}

/// A reason of a condition.
pub trait Reason: Copy {
    /// Type of the condition it belongs to.
    const CONDITION: &'static str;

    /// The reason as it stands in the condition.
    fn as_str(self) -> &'static str;
}

macro_rules! reasons {
    ($(#[doc = $about:literal])+ $name:ident for $condition:literal { $($(#[doc = $doc:literal])+ $reason:ident,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $doc])+ $reason,)+ }

        impl $name {
            /// The condition and its reasons, as they are documented.
            pub const DOCUMENTED: Documented = Documented {
                condition: $condition,
                about: concat!($($about),+),
                reasons: &[$((stringify!($reason), concat!($($doc),+)),)+],
            };
        }

        impl Reason for $name {
            const CONDITION: &'static str = $condition;

            fn as_str(self) -> &'static str {
                match self { $(Self::$reason => stringify!($reason),)+ }
            }
        }
    };
}

reasons! {
    /// `Ready`, of every kind: the object is accepted, and what it asks for is in place.
    Ready for "Ready" {
        /// Everything is as declared.
        Ready,
        /// The change is under way; look again shortly.
        Progressing,
        /// A field has a value that cannot be used; the message names the field.
        InvalidSpec,
        /// A Secret or one of its keys does not exist, or the operator may not read it.
        SecretNotFound,
        /// A Secret's value cannot be used for its purpose; the message says why.
        SecretInvalid,
        /// The CA bundle does not exist, may not be read, or is not valid PEM.
        CaBundleInvalid,
        /// The named `OktaOrg` does not exist.
        OrgNotFound,
        /// The named `OktaOrg` is not Ready; its own condition says why.
        OrgNotReady,
        /// The named `TelephonyGateway` does not exist.
        GatewayNotFound,
        /// No ready replica of the gateway serves the hook yet, so Okta is not told to call it.
        GatewayNotServing,
        /// The external URL cannot be reached now, so Okta is not told to call it.
        UrlNotReached,
        /// A named `TelephonyProvider` does not exist.
        ProviderNotFound,
        /// A named `TelephonyProvider` is not Ready.
        ProviderNotReady,
        /// A named `RoutingPolicy` does not exist, or the selector matches none.
        PolicyNotFound,
        /// A named `RoutingPolicy` is not Ready.
        PolicyNotReady,
        /// The selector matches more policies than a gateway can have.
        TooManyPolicies,
        /// More hooks point at the gateway than it can serve; it keeps serving those it had.
        TooManyHooks,
        /// The gateway's rules use more providers than it can have; it keeps using those it had.
        TooManyCarriers,
        /// The compiled configuration does not fit into a Secret; the last good one stays in use.
        ConfigTooLarge,
        /// This release cannot read the configuration in the Secret, and leaves it as it is.
        ConfigUnreadable,
        /// An object of the required name exists and belongs to somebody else.
        NameTaken,
        /// A policy, a quota or a missing permission of the cluster prevents an object; the message quotes it.
        Refused,
        /// The installation does not allow what the spec asks for; the message says what it allows. What
        /// served before keeps serving.
        NotAllowed,
        /// The new pods wait for their turn, so that the gateways of one org are not changed all at once.
        RolloutWaits,
        /// Fewer pods are ready than declared.
        PodsNotReady,
        /// The object is being deleted, and is held and keeps serving because Okta still uses it or a hook
        /// that points at it.
        InUse,
        /// The Deployment cannot make progress.
        DeploymentFailed,
        /// The operator cannot list a kind of objects that this one depends on, so nothing is done for it;
        /// the message names the kind.
        NotListed,
        /// Two hooks of one org are declared Active; nothing is done in Okta until only one is.
        TwoActive,
        /// More than one object claims to control this hook's state; nothing is done in Okta until only one does.
        SwitchConflict,
        /// A named `TelephonyHook` does not exist.
        HookNotFound,
        /// Something in Okta that is not ours is in the way; it is not touched.
        Conflict,
        /// The org already has as many inline hooks as Okta allows.
        HookLimit,
        /// Okta's management API cannot be reached.
        OktaUnreachable,
        /// Okta refused a call; the message quotes Okta.
        OktaRefused,
        /// Okta's answer was missing or unclear; the state is read back and the call is tried again.
        OktaUnclear,
        /// Something other than Okta's API answered: a proxy, a firewall, or Okta's block of a network zone.
        NotOkta,
        /// Okta does not accept the API token.
        TokenRejected,
        /// The token's administrator lacks a permission.
        PermissionDenied,
        /// Okta's rate limit is used up; the call waits for the next window.
        RateLimited,
        /// An older `OktaOrg` has proven that it manages the same org.
        ClaimedByOther,
        /// A change of the active hook waits until the manifests have not changed for some seconds.
        Settling,
        /// The hook waits for what the message names.
        Waiting,
        /// The standby hook could not be created INACTIVE in Okta; the message says why.
        StandbyNotCreated,
        /// Somebody changed the hook in Okta; it is being corrected.
        Drifted,
    }
}

reasons! {
    /// `Reachable`, of an `OktaOrg`: whether its management API answers.
    Reachable for "Reachable" {
        /// It answered the last call.
        Reachable,
        /// It has not been asked yet.
        NotAsked,
        /// Nobody asks it: objects that the `OktaOrg` depends on cannot be listed; `Ready` has the kind.
        NotListed,
        /// It did not answer.
        Unreachable,
        /// It answered, and refused the token.
        TokenRejected,
        /// The answer was an error, or did not come from Okta's API.
        BadAnswer,
    }
}

reasons! {
    /// `Claimed`, of an `OktaOrg`: whether this object is the one that manages the org.
    Claimed for "Claimed" {
        /// It is.
        Claimed,
        /// An older `OktaOrg` has proven that it manages the same org; the message names it.
        ClaimedByOther,
        /// No call with this object's credential has proven which org it is of since this operator leads.
        IdentityUnknown,
    }
}

reasons! {
    /// `Created`, of a `TelephonyHook`: whether the hook exists in Okta.
    Created for "Created" {
        /// It exists and carries this installation's owner header.
        Created,
        /// It does not exist yet; `Ready` says what it waits for.
        NotYet,
        /// The hook is to be INACTIVE. Okta creates hooks active, so it is not created while that would replace the active
        /// one.
        StandbyNotCreated,
        /// The spec has no `okta` block, so nothing is created in Okta.
        NotWanted,
        /// Okta was not asked yet, or did not answer.
        Unknown,
    }
}

reasons! {
    /// `Active`, of a `TelephonyHook`: whether Okta sends passcodes to it.
    Active for "Active" {
        /// Okta says ACTIVE.
        Active,
        /// Okta says INACTIVE.
        Inactive,
        /// Okta was not asked yet, or did not answer.
        Unknown,
    }
}

reasons! {
    /// `Drifted`, of a `TelephonyHook`: whether somebody changed the hook in Okta.
    Drift for "Drifted" {
        /// Okta has what was applied.
        InSync,
        /// Somebody changed the hook in Okta; the message names the fields.
        Changed,
    }
}

reasons! {
    /// `Healthy`, of a `TelephonyProvider`, a `TelephonyGateway` and the active hook of a `HookSwitch`: whether messages can
    /// be sent.
    Healthy for "Healthy" {
        /// Gateways report that it can be used.
        Usable,
        /// Gateways report that it cannot be used; the message says why.
        Down,
        /// Some of it works and some does not; the message says what.
        Degraded,
        /// No gateway has reported recently, or none uses it.
        NoReport,
        /// Nobody looks: objects that it depends on cannot be listed; `Ready` has the kind.
        NotListed,
        /// Nobody looks: the `HookSwitch` cannot decide anything; `Ready` says why.
        Undecided,
    }
}

reasons! {
    /// `FailoverReady`, of a `HookSwitch`: whether another hook could take over now.
    FailoverReady for "FailoverReady" {
        /// A standby is proven; `status.standby` names it.
        StandbyProven,
        /// No standby is proven; `status.hooks` says why.
        StandbyNotReady,
        /// The only standby is an external URL without a `test`: it is reachable, and nothing shows that it delivers.
        StandbyUnproven,
        /// The state of Okta or of the hooks is not known yet.
        Unknown,
        /// Nothing would be switched: objects that it depends on cannot be listed; `Ready` has the kind.
        NotListed,
        /// Nothing would be switched: the switch cannot decide anything; `Ready` says why.
        Undecided,
    }
}

reasons! {
    /// `FailoverActive`, of a `HookSwitch`: whether a hook other than the first is meant to be active.
    FailoverActive for "FailoverActive" {
        /// The first hook is meant to be active.
        OnFirst,
        /// A standby is.
        OnStandby,
    }
}

reasons! {
    /// `Held`, of a `HookSwitch`: whether the active hook fails and something prevents the switch.
    Held for "Held" {
        /// Nothing is held back.
        NotHeld,
        /// The mode leaves switching to you.
        ModeForbids,
        /// The switch is paused, or in a maintenance window.
        Paused,
        /// Okta's management API does not say which hook is active.
        OktaUnknown,
        /// A hook that the switch does not name is active in Okta.
        Conflict,
        /// Every hook fails at once, so the operator's own network may be at fault.
        AllHooksFail,
        /// No standby has been healthy for long enough.
        StandbyNotReady,
        /// The only healthy standby is reachable and not proven to deliver, and `detection.unprovenStandby` is not `Allow`.
        StandbyUnproven,
        /// No standby covers enough more than the active hook.
        StandbyNoBetter,
        /// The last automatic switch was too recent.
        Cooldown,
        /// The budget of automatic switches is used up, until you acknowledge it.
        BudgetSpent,
        /// Okta refused to activate the standby.
        ActivationRefused,
    }
}

reasons! {
    /// `TrafficConfirmed`, of a `HookSwitch`: whether calls of Okta arrive at the active hook.
    TrafficConfirmed for "TrafficConfirmed" {
        /// Calls have arrived since the last switch to it. A pause in traffic changes nothing.
        CallsArrive,
        /// No call has arrived since then. That can take a while where few people log in.
        NoCallYet,
        /// Nobody reports its calls: no ready gateway replica does, or its URL is external.
        NoReport,
    }
}

reasons! {
    /// `StandbyIndependent`, of a `HookSwitch`: whether the hooks share something that could fail for both.
    StandbyIndependent for "StandbyIndependent" {
        /// Nothing shared is known.
        Independent,
        /// Two hooks have one gateway.
        SharedGateway,
        /// Two hooks have one host name.
        SharedHost,
        /// Two gateways have one certificate.
        SharedCertificate,
        /// A standby's gateway has only providers that the first hook's gateway has too.
        SharedCarrier,
    }
}

reasons! {
    /// `PubliclyTrusted`, of a `TelephonyGateway`: whether Okta can trust its certificate.
    PubliclyTrusted for "PubliclyTrusted" {
        /// The certificate of `spec.tls` is served. Whether its issuer is public is not checked.
        CertificateGiven,
        /// A generated certificate is served. Okta does not trust it; a proxy in front of the gateway may.
        CertificateGenerated,
        /// The certificate has expired, or is for another host.
        CertificateUnfit,
    }
}

reasons! {
    /// `Reconciling`, for kstatus: present and True while work is under way.
    Reconciling for "Reconciling" {
        /// Work is under way; `Ready` says what.
        Progressing,
        /// Something failed that may pass by itself, and is tried again.
        Retrying,
    }
}

reasons! {
    /// `Stalled`, for kstatus: present and True when you have to act.
    Stalled for "Stalled" {
        /// Nothing will change until you act; `Ready` says what to do.
        NeedsAttention,
    }
}

/// All conditions with their reasons, in the order in which they are documented.
pub const DOCUMENTED: [Documented; 15] = [
    Ready::DOCUMENTED,
    Reachable::DOCUMENTED,
    Claimed::DOCUMENTED,
    Created::DOCUMENTED,
    Active::DOCUMENTED,
    Drift::DOCUMENTED,
    Healthy::DOCUMENTED,
    FailoverReady::DOCUMENTED,
    FailoverActive::DOCUMENTED,
    Held::DOCUMENTED,
    TrafficConfirmed::DOCUMENTED,
    StandbyIndependent::DOCUMENTED,
    PubliclyTrusted::DOCUMENTED,
    Reconciling::DOCUMENTED,
    Stalled::DOCUMENTED,
];
