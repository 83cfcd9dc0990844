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
    /// `Ready`, of every kind: accepted, and what it asks for is so.
    Ready for "Ready" {
        /// All is as declared.
        Ready,
        /// It is being made so; look again shortly.
        Progressing,
        /// A field's value cannot be used; the message names the field.
        InvalidSpec,
        /// A Secret or one of its keys does not exist, or may not be read.
        SecretNotFound,
        /// A Secret's value cannot be used as what it is meant for.
        SecretInvalid,
        /// The CA bundle does not exist, may not be read, or is not PEM.
        CaBundleInvalid,
        /// The `OktaOrg` that is named does not exist.
        OrgNotFound,
        /// The `OktaOrg` that is named is not Ready; its own condition says why.
        OrgNotReady,
        /// The `TelephonyGateway` that is named does not exist.
        GatewayNotFound,
        /// No ready replica of the gateway serves the hook yet, so Okta is not pointed at it.
        GatewayNotServing,
        /// The URL that somebody else serves cannot be called now, so Okta is not pointed at it.
        UrlNotReached,
        /// A `TelephonyProvider` that is named does not exist.
        ProviderNotFound,
        /// A `TelephonyProvider` that is named is not Ready.
        ProviderNotReady,
        /// A `RoutingPolicy` that is named does not exist, or the selector matches none.
        PolicyNotFound,
        /// A `RoutingPolicy` that is named is not Ready.
        PolicyNotReady,
        /// More policies are selected than a gateway can have.
        TooManyPolicies,
        /// More hooks point at a gateway than it can have; those that it served before are served on.
        TooManyHooks,
        /// A gateway's rules send by more carriers than it can have; those that it had before serve on.
        TooManyCarriers,
        /// The compiled configuration does not fit into a Secret; the last good one stays in force.
        ConfigTooLarge,
        /// The configuration in its Secret cannot be read by this release; it is left alone.
        ConfigUnreadable,
        /// An object of the name needed exists and belongs to somebody else.
        NameTaken,
        /// A policy, a quota or missing rights of the cluster keep an object from being made; the message has its words.
        Refused,
        /// The installation does not allow what is asked for; the message says what it allows. What served before serves on.
        NotAllowed,
        /// Its pods are to be changed and wait for their turn, so that not all gateways of an org are changed at once.
        RolloutWaits,
        /// Fewer pods than wanted are ready.
        PodsNotReady,
        /// It is being deleted and held, and goes on serving, because Okta uses it, or a hook that points at it.
        InUse,
        /// The Deployment cannot make progress.
        DeploymentFailed,
        /// Objects that it depends on cannot be listed in its namespace, so nothing is done for it; the message has the kind.
        NotListed,
        /// Two hooks of one org are declared Active; nothing is done in Okta until one is not.
        TwoActive,
        /// It is not told without contradiction who decides the state of a hook; nothing is done in Okta until it is.
        SwitchConflict,
        /// A `TelephonyHook` that is named does not exist.
        HookNotFound,
        /// What another owns in Okta stands in the way; it is not touched.
        Conflict,
        /// The org has as many inline hooks as Okta allows.
        HookLimit,
        /// Okta's management API cannot be reached.
        OktaUnreachable,
        /// Okta refused a call; the message has Okta's words.
        OktaRefused,
        /// Okta did not give an answer that can be believed; its state is read back and the call tried again.
        OktaUnclear,
        /// Something answers in the place of Okta's API: a proxy, a firewall, or Okta's own block of an address.
        NotOkta,
        /// Okta does not accept the API token.
        TokenRejected,
        /// The token's admin may not do what is needed.
        PermissionDenied,
        /// Okta's rate limit is used up; the call is made when the window resets.
        RateLimited,
        /// An older `OktaOrg` has proven that it is of the same org.
        ClaimedByOther,
        /// A change of the active hook waits for the declared state to stand still for some seconds.
        Settling,
        /// Hooks of the org's plan wait for what the message names.
        Waiting,
        /// The hook is to be kept INACTIVE, and Okta could not be brought to it; the message says why.
        StandbyNotCreated,
        /// Okta had something else than was applied; it is being put right.
        Drifted,
    }
}

reasons! {
    /// `Reachable`, of an `OktaOrg`: whether its management API answers us.
    Reachable for "Reachable" {
        /// It answered the last call.
        Reachable,
        /// It has not been asked yet.
        NotAsked,
        /// It did not answer.
        Unreachable,
        /// It answered, and refused the token.
        TokenRejected,
        /// It answered with what is no Okta API.
        BadAnswer,
    }
}

reasons! {
    /// `Claimed`, of an `OktaOrg`: whether this object is the one that manages the org.
    Claimed for "Claimed" {
        /// It is.
        Claimed,
        /// An older `OktaOrg` has proven that it is of the same org; the message names it.
        ClaimedByOther,
        /// No call with the object's credential has proven yet which org it is of.
        IdentityUnknown,
    }
}

reasons! {
    /// `Created`, of a `TelephonyHook`: whether the hook exists in Okta.
    Created for "Created" {
        /// It exists and carries our mark.
        Created,
        /// It does not exist yet; `Ready` says what it waits for.
        NotYet,
        /// It is to be INACTIVE, Okta makes hooks active when it creates them, and so it is not created while that would
        /// take over from the active one.
        StandbyNotCreated,
        /// The spec has no `okta` block: nothing is made in Okta.
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
    /// `Drifted`, of a `TelephonyHook`: whether Okta had something else than was applied.
    Drift for "Drifted" {
        /// Okta has what was applied.
        InSync,
        /// Okta had something else; the message names the fields.
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
        /// Some can, some cannot.
        Degraded,
        /// No gateway has reported lately, or none uses it.
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
        /// A hook is proven; `status.standby` names it.
        StandbyProven,
        /// No other hook is proven; `status.hooks` says why.
        StandbyNotReady,
        /// Another hook is reached, and nothing shows that it delivers: its URL is somebody else's, and has no `test`.
        StandbyUnproven,
        /// Okta's state or the hooks' is not known yet.
        Unknown,
        /// Nothing would be switched: objects that it depends on cannot be listed; `Ready` has the kind.
        NotListed,
        /// Nothing would be switched: the switch cannot decide anything; `Ready` says why.
        Undecided,
    }
}

reasons! {
    /// `FailoverActive`, of a `HookSwitch`: whether another hook than the first is to be active.
    FailoverActive for "FailoverActive" {
        /// The first hook is to be active.
        OnFirst,
        /// Another one is.
        OnStandby,
    }
}

reasons! {
    /// `Held`, of a `HookSwitch`: whether the active hook fails and nothing is done about it.
    Held for "Held" {
        /// Nothing is held back.
        NotHeld,
        /// The mode leaves switching to a person.
        ModeForbids,
        /// It is paused, or in a maintenance window.
        Paused,
        /// Okta's management API does not say which hook is active.
        OktaUnknown,
        /// A hook that the switch does not name is active in Okta.
        Conflict,
        /// Every hook fails at once: the observer may be the blind one.
        AllHooksFail,
        /// No other hook is known to be well for long enough.
        StandbyNotReady,
        /// The only hook that is well is reached, and not proven to deliver; `detection.unprovenStandby` is not `Allow`.
        StandbyUnproven,
        /// No other hook can deliver enough more.
        StandbyNoBetter,
        /// The last switch was too short a time ago.
        Cooldown,
        /// As many switches as the budget allows; until somebody acknowledges.
        BudgetSpent,
        /// Okta refused to activate the other hook.
        ActivationRefused,
    }
}

reasons! {
    /// `TrafficConfirmed`, of a `HookSwitch`: whether calls of Okta arrive at the active hook.
    TrafficConfirmed for "TrafficConfirmed" {
        /// They have, since the last switch to it ended; a pause in the traffic changes nothing.
        CallsArrive,
        /// None has come since then. Where few people log in, that takes a while.
        NoCallYet,
        /// Nobody reports its calls: no ready replica of its gateway does, or somebody else serves it.
        NoReport,
    }
}

reasons! {
    /// `StandbyIndependent`, of a `HookSwitch`: whether the hooks share what could fail for both.
    StandbyIndependent for "StandbyIndependent" {
        /// Nothing that is known of is shared.
        Independent,
        /// Two hooks have one gateway.
        SharedGateway,
        /// Two hooks are called at one host name.
        SharedHost,
        /// Two gateways have one certificate.
        SharedCertificate,
        /// Two gateways have only carriers in common.
        SharedCarrier,
    }
}

reasons! {
    /// `PubliclyTrusted`, of a `TelephonyGateway`: whether Okta can trust its certificate.
    PubliclyTrusted for "PubliclyTrusted" {
        /// The certificate of `spec.tls` is served. Whether its issuer is public is not checked.
        CertificateGiven,
        /// A generated certificate is served, which Okta does not trust.
        CertificateGenerated,
        /// The certificate has expired or its host is another.
        CertificateUnfit,
    }
}

reasons! {
    /// `Reconciling`, as kstatus reads it: present and True while there is work under way.
    Reconciling for "Reconciling" {
        /// Something is under way; `Ready` says what.
        Progressing,
        /// Something failed that may pass by itself; it is tried again.
        Retrying,
    }
}

reasons! {
    /// `Stalled`, as kstatus reads it: present and True when a person has to act.
    Stalled for "Stalled" {
        /// Nothing will change until a person acts; `Ready` says what to do.
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
