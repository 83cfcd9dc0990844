//! Wake-ups: how one object's pass is asked for because something else changed.
//!
//! Watches, references and reports send; every controller listens for its own kind. A listener that falls behind is
//! told so and looks at all its objects, so that no wake-up is ever lost.

use tokio::sync::broadcast;

/// How many wake-ups a listener may be behind before it looks at all its objects instead.
const BACKLOG: usize = 1_024;

/// The kinds that passes are run for.
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

/// One object that passes are run for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Target {
    /// Names an object.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// What a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Woken {
    /// Look at this object.
    One(Target),
    /// Wake-ups were missed: look at all.
    All,
}

/// The board that wake-ups are written on.
#[derive(Debug, Clone)]
pub struct Wake {
    board: broadcast::Sender<Target>,
}

impl Default for Wake {
    fn default() -> Self {
        Self { board: broadcast::channel(BACKLOG).0 }
    }
}

impl Wake {
    /// Asks for a pass over an object. Without a listener nothing happens: a controller that starts looks at everything.
    pub fn wake(&self, target: Target) {
        let _ = self.board.send(target);
    }

    /// Asks for passes over several objects.
    pub fn wake_all(&self, targets: impl IntoIterator<Item = Target>) {
        targets.into_iter().for_each(|target| self.wake(target));
    }

    /// Asks for passes over objects when what is given back goes: at the end of the work that those passes are to see, however
    /// that ends.
    #[must_use]
    pub fn at_the_end(&self, targets: impl IntoIterator<Item = Target>) -> AtTheEnd<'_> {
        AtTheEnd { wake: self, targets: targets.into_iter().collect() }
    }

    /// Wake-ups of one kind from now on. Ends when the board is gone.
    pub fn listen(&self, kind: Kind) -> impl futures::Stream<Item = Woken> + Send + use<> {
        let heard = self.board.subscribe();
        futures::stream::unfold(heard, move |mut heard| async move {
            loop {
                match heard.recv().await {
                    Ok(target) if target.kind == kind => return Some((Woken::One(target), heard)),
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => return Some((Woken::All, heard)),
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
    }
}

/// Wake-ups that are still to come.
#[derive(Debug)]
pub struct AtTheEnd<'w> {
    wake: &'w Wake,
    targets: Vec<Target>,
}

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.wake.wake_all(std::mem::take(&mut self.targets));
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_listener_hears_its_own_kind_only() {
        let wake = Wake::default();
        let mut hooks = std::pin::pin!(wake.listen(Kind::TelephonyHook));
        wake.wake(Target::new(Kind::OktaOrg, "otp", "acme"));
        wake.wake(Target::new(Kind::TelephonyHook, "otp", "main"));
        assert_eq!(hooks.next().await, Some(Woken::One(Target::new(Kind::TelephonyHook, "otp", "main"))));
    }

    #[tokio::test]
    async fn a_listener_that_fell_behind_looks_at_everything() {
        let wake = Wake::default();
        let mut hooks = std::pin::pin!(wake.listen(Kind::TelephonyHook));
        for number in 0..=BACKLOG {
            wake.wake(Target::new(Kind::TelephonyHook, "otp", number.to_string()));
        }
        assert_eq!(hooks.next().await, Some(Woken::All));
    }

    #[test]
    fn an_object_is_shown_as_kubernetes_names_it() {
        let shown: Vec<String> = Kind::ALL.map(|kind| Target::new(kind, "otp", "a").to_string()).into();
        assert_eq!(
            shown,
            [
                "OktaOrg otp/a",
                "TelephonyHook otp/a",
                "TelephonyGateway otp/a",
                "TelephonyProvider otp/a",
                "RoutingPolicy otp/a",
                "HookSwitch otp/a"
            ]
        );
    }
}
