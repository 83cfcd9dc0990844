//! The comparison of a call's secret with those of its hook.

use http::{HeaderMap, HeaderValue};
use subtle::{Choice, ConstantTimeEq};

use hookswitch_gateway_config::document::{HookConfig, HookCredential};

/// The secrets that show that it is Okta who calls a hook.
#[derive(Debug, Clone)]
pub struct HookSecrets {
    /// The declared one first.
    credentials: Vec<HookCredential>,
    /// When all but the first of them end, in seconds since 1970.
    retire_at: Option<u64>,
}

impl HookSecrets {
    /// Those of a hook.
    #[must_use]
    pub fn of(hook: &HookConfig) -> Self {
        Self {
            credentials: hook.credentials().collect(),
            retire_at: hook.retire_at.map(|at| u64::try_from(at).unwrap_or(0)),
        }
    }

    /// Whether a call shows one of the secrets that are valid at `now`, in seconds since 1970, once and by its own header. The
    /// gateway keeps the time itself, because the operator may not be there to take an older secret out. Takes as long for a
    /// wrong value as for a right one of the same length, and compares all secrets.
    #[must_use]
    pub fn admit(&self, headers: &HeaderMap, now: u64) -> bool {
        let older = Choice::from(u8::from(self.retire_at.is_none_or(|at| now < at)));
        let mut admitted = Choice::from(0);
        for (at, credential) in self.credentials.iter().enumerate() {
            let mut values = headers.get_all(credential.header.as_str()).iter();
            let (given, second) = (values.next().map_or(&b""[..], HeaderValue::as_bytes), values.next());
            let valid = (older | Choice::from(u8::from(at == 0))) & Choice::from(u8::from(second.is_none()));
            admitted |= credential.secret.expose().as_bytes().ct_eq(given) & valid;
        }
        admitted.into()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn an_older_secret_is_valid_until_its_time_by_the_gateways_clock() {
        let secrets = vec!["newest".into(), "older".into(), "oldest".into()];
        let former = vec![HookCredential { header: "x-former".into(), secret: "newest".into() }];
        let hook = HookConfig { former, retire_at: Some(1_000), ..HookConfig::new("authorization".into(), secrets) };
        let dated = HookSecrets::of(&hook);
        let open = HookSecrets::of(&HookConfig { retire_at: None, ..hook.clone() });
        let past = HookSecrets::of(&HookConfig { retire_at: Some(-1), ..hook });
        let by = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            pairs.fold(HeaderMap::new(), |mut all, (name, value): (_, HeaderValue)| {
                all.append(name, value);
                all
            })
        };
        let is = |secret| by(&[("authorization", secret)]);
        for (now, older) in [(0, true), (999, true), (1_000, false), (u64::MAX, false)] {
            assert!(dated.admit(&is("newest"), now) && open.admit(&is("newest"), now));
            assert_eq!((dated.admit(&is("older"), now), dated.admit(&is("oldest"), now)), (older, older), "{now}");
            assert_eq!(dated.admit(&by(&[("x-former", "newest")]), now), older, "by the header before, {now}");
            assert!(open.admit(&is("oldest"), now) && !past.admit(&is("older"), now));
            assert!(
                open.admit(&by(&[("x-former", "newest")]), now) && !past.admit(&by(&[("x-former", "newest")]), now)
            );
            for wrong in [
                &[][..],
                &[("authorization", "")],
                &[("authorization", "newes")],
                &[("authorization", "newestolder")],
                &[("authorization", "newest"), ("authorization", "newest")],
                &[("x-former", "older")],
                &[("x-former", "newest"), ("x-former", "x")],
                &[("x-other", "newest")],
            ] {
                assert!(!dated.admit(&by(wrong), now) && !open.admit(&by(wrong), now), "{wrong:?}");
            }
        }
    }
}
