//! The kinds of `hookswitch.dev`, by name.

/// A kind of `hookswitch.dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `OktaOrg`
    OktaOrg,
    /// `TelephonyHook`
    TelephonyHook,
    /// `TelephonyGateway`
    TelephonyGateway,
    /// `TelephonyProvider`
    TelephonyProvider,
    /// `RoutingPolicy`
    RoutingPolicy,
    /// `HookSwitch`
    HookSwitch,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OktaOrg,
        Self::TelephonyHook,
        Self::TelephonyGateway,
        Self::TelephonyProvider,
        Self::RoutingPolicy,
        Self::HookSwitch,
    ];

    /// The kind as Kubernetes spells it; also the `controller` label of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OktaOrg => "OktaOrg",
            Self::TelephonyHook => "TelephonyHook",
            Self::TelephonyGateway => "TelephonyGateway",
            Self::TelephonyProvider => "TelephonyProvider",
            Self::RoutingPolicy => "RoutingPolicy",
            Self::HookSwitch => "HookSwitch",
        }
    }
}
