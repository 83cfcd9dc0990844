//! What was measured, and what is to be reached.

use std::{collections::BTreeMap, time::Instant};

use super::{
    ATTACKED, CONNECTIONS, IDLE, PROVIDERS, Plan, RATE, REMEMBERED, RULES,
    attacks::Attack,
    load::Window,
    process,
    servers::{Ground, Rules},
};

/// What a figure is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// nginx as a bare proxy.
    Nginx,
    /// Express shaped like Okta's sample.
    Express,
    /// The gateway.
    Gateway,
    /// The gateway with HTTP/2 to the provider.
    Shared,
}

impl Of {
    /// What is compared.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Express, Self::Gateway];
    /// What a table shows.
    pub const COLUMNS: [Self; 4] = [Self::Nginx, Self::Express, Self::Gateway, Self::Shared];

    /// As a table says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx as bare proxy",
            Self::Express => "Express shaped like Okta's sample",
            Self::Gateway => "gateway",
            Self::Shared => "gateway, HTTP/2 to the provider",
        }
    }
}

/// Memory in MiB.
#[derive(Default, Clone, Copy)]
pub struct Memory {
    /// Before the first load.
    pub idle: f64,
    /// With [`IDLE`] connections.
    pub connected: f64,
    /// After the calls below.
    pub after: f64,
    /// The calls.
    pub calls: u64,
    /// After these calls and with the connections.
    pub both: f64,
}

/// All that was measured.
pub struct Figures {
    /// When it began.
    pub begun: Instant,
    /// Processor time until then: of this process and its children, and of all.
    pub before: (f64, f64),
    /// How long it took, in seconds.
    pub spent: f64,
    /// Share of the processors that others used meanwhile.
    pub others: f64,
    /// Rounds and seconds of each measurement.
    pub rounds: (usize, f64),
    /// Whether the figures are good enough for the page.
    pub is_whole: bool,
    /// What TLS was agreed to.
    pub tls: String,
    /// What ran: versions.
    pub versions: Vec<String>,
    /// Closed loops by connections.
    pub closed: BTreeMap<(Of, usize), Vec<Window>>,
    /// Open loops.
    pub open: BTreeMap<Of, Vec<Window>>,
    /// New connections, without and with a call.
    pub anew: BTreeMap<(Of, bool), Vec<Window>>,
    /// Memory.
    pub memory: BTreeMap<Of, Memory>,
    /// Legitimate calls under attack.
    pub attacked: BTreeMap<Attack, Vec<Window>>,
    /// Memory after all attacks.
    pub attacked_memory: f64,
    /// More rules and more providers.
    pub scale: BTreeMap<Rules, Vec<Window>>,
    /// Memory after that.
    pub scale_memory: BTreeMap<Rules, f64>,
}

impl Figures {
    /// Nothing yet.
    pub fn new(plan: &Plan, ground: &Ground) -> Self {
        Self {
            begun: Instant::now(),
            before: (process::time_with_children(), process::machine_time()),
            spent: 0.0,
            others: 0.0,
            rounds: (plan.rounds, plan.times.1.as_secs_f64()),
            is_whole: plan.is_whole,
            tls: String::new(),
            versions: super::page::versions(ground),
            closed: BTreeMap::new(),
            open: BTreeMap::new(),
            anew: BTreeMap::new(),
            memory: BTreeMap::new(),
            attacked: BTreeMap::new(),
            attacked_memory: f64::NAN,
            scale: BTreeMap::new(),
            scale_memory: BTreeMap::new(),
        }
    }
}

/// The middle one of the rounds.
pub fn median(windows: &[Window], figure: impl Fn(&Window) -> f64) -> f64 {
    let mut all: Vec<f64> = windows.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One load in a line.
pub fn line(window: &Window) -> String {
    let busy = |seconds: f64| 100.0 * seconds / window.seconds;
    format!(
        "{:.0} calls/s · {:.0} µs a call · p50 {:.2} p99 {:.2} p99.9 {:.2} ms · {} connections opened to the provider · \
         busy: server {:.0} %, load {:.0} %, provider {:.0} %",
        window.rate(),
        window.cost(),
        window.quantile(0.5),
        window.quantile(0.99),
        window.quantile(0.999),
        window.opened,
        busy(window.server),
        busy(window.load),
        busy(window.provider),
    )
}

/// What a gateway is configured with.
pub fn name(rules: Rules) -> String {
    match rules {
        Rules::Last(count) => format!("{count} rules"),
        Rules::Spread(1) => "64 rules, 1 provider".to_owned(),
        Rules::Spread(providers) => format!("64 rules, {providers} providers"),
    }
}

/// A bound that a figure is to keep.
#[derive(Clone, Copy)]
pub enum Bound {
    /// At least.
    Least(f64),
    /// At most.
    Most(f64),
}

/// Something to be reached.
pub struct Aim {
    /// What.
    pub what: String,
    /// How the figure is written.
    pub unit: &'static str,
    /// What is to be reached.
    pub bound: Bound,
    /// What was; `None` when it could not be measured in this run.
    pub found: Option<f64>,
}

impl Aim {
    /// Whether it was reached.
    pub fn is_met(&self) -> Option<bool> {
        self.found.map(|found| match self.bound {
            Bound::Least(least) => found >= least,
            Bound::Most(most) => found <= most,
        })
    }
}

/// All aims with what was found.
pub fn aims(figures: &Figures) -> Vec<Aim> {
    use Bound::{Least, Most};
    let mut aims = Vec::new();
    let mut aim = |what: String, unit, bound, found: f64| {
        aims.push(Aim { what, unit, bound, found: found.is_finite().then_some(found) });
    };
    for connections in CONNECTIONS {
        let of = |of, figure: fn(&Window) -> f64| {
            figures.closed.get(&(of, connections)).map_or(f64::NAN, |windows| median(windows, figure))
        };
        let beside = |peer, figure: fn(&Window) -> f64| of(Of::Gateway, figure) / of(peer, figure);
        let at = format!("{connections} connections");
        aim(format!("{at}: calls/s beside nginx"), "×", Least(0.6), beside(Of::Nginx, Window::rate));
        aim(format!("{at}: the same, then"), "×", Least(0.75), beside(Of::Nginx, Window::rate));
        aim(format!("{at}: CPU a call beside nginx"), "×", Most(1.6), beside(Of::Nginx, Window::cost));
        aim(format!("{at}: p99 beside nginx"), "×", Most(1.5), beside(Of::Nginx, |window| window.quantile(0.99)));
        aim(format!("{at}: calls/s beside Express"), "×", Least(15.0), beside(Of::Express, Window::rate));
    }
    let last = |of| figures.open.get(&of).map_or(f64::NAN, |windows| median(windows, |window| window.quantile(0.999)));
    aim(format!("p99.9 at {}/s above nginx", RATE.0), " ms", Most(5.0), last(Of::Gateway) - last(Of::Nginx));
    let cost = |rules| figures.scale.get(&rules).map_or(f64::NAN, |windows| median(windows, Window::cost));
    for rules in &RULES[1..] {
        let found = cost(Rules::Last(*rules)) / cost(Rules::Last(RULES[0]));
        aim(format!("CPU a call from {} to {rules} rules", RULES[0]), "×", Most(1.1), found);
    }
    let found = cost(Rules::Spread(PROVIDERS[1])) / cost(Rules::Spread(PROVIDERS[0]));
    aim(format!("CPU a call from {} to {} providers", PROVIDERS[0], PROVIDERS[1]), "×", Most(1.1), found);
    let slowest = |attack| {
        figures.attacked.get(&attack).map_or(f64::NAN, |windows| median(windows, |window| window.quantile(0.99)))
    };
    for attack in &Attack::ALL[1..] {
        let found = slowest(*attack) / slowest(Attack::None);
        aim(format!("p99 at {}/s under attack by {}, to none", ATTACKED.0, attack.name()), "×", Most(2.0), found);
    }
    let memory = figures.memory.get(&Of::Gateway).copied().unwrap_or_default();
    let enough = |found: f64| if memory.calls >= REMEMBERED { found } else { f64::NAN };
    aim("memory idle".into(), " MiB", Most(16.0), memory.idle);
    aim(format!("memory with {IDLE} idle connections"), " MiB", Most(40.0), memory.connected);
    aim(format!("memory after {REMEMBERED} calls"), " MiB", Most(64.0), enough(memory.after));
    aim("memory with both".into(), " MiB", Most(64.0), enough(memory.both));
    aims
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is computed from whole numbers")]
mod tests {
    use super::*;

    fn window(calls: u64, server: f64, took: &[f64]) -> Window {
        Window { calls, seconds: 2.0, server, took: took.to_vec(), ..Window::default() }
    }

    #[test]
    fn a_figure_is_the_middle_one_of_its_rounds() {
        let rounds = [window(100, 1.0, &[]), window(900, 1.0, &[]), window(200, 1.0, &[])];
        assert_eq!(median(&rounds, Window::rate), 100.0);
        assert_eq!(median(&rounds, Window::cost), 5_000.0);
        assert!(median(&[], Window::rate).is_nan());
    }

    #[test]
    fn a_quantile_is_of_the_slowest_calls() {
        let took: Vec<f64> = (1..=1_000).map(f64::from).collect();
        let window = window(1_000, 1.0, &took);
        assert_eq!([0.5, 0.99, 0.999, 1.0].map(|share| window.quantile(share)), [501.0, 991.0, 1_000.0, 1_000.0]);
    }

    #[test]
    fn an_aim_is_met_at_its_bound_and_unknown_without_a_figure() {
        let met = |bound, found| Aim { what: String::new(), unit: "", bound, found }.is_met();
        assert_eq!([0.59, 0.6, 0.61].map(|found| met(Bound::Least(0.6), Some(found)).unwrap()), [false, true, true]);
        assert_eq!([1.5, 1.6, 1.61].map(|found| met(Bound::Most(1.6), Some(found)).unwrap()), [true, true, false]);
        assert_eq!(met(Bound::Most(1.6), None), None);
    }
}
