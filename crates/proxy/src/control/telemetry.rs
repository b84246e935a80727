//! Counters of Endpoints, for a controller that subscribed to them.

use fairlead_balance::{Micros, StatusClass};
use fairlead_snapshot::{EndpointStats, FromProxy, Subscribe, Tag, Telemetry, encode_from_proxy};

use super::backends::{Backends, Member, view};
use crate::diagnostics::unix_ms;

/// The shortest period: a controller cannot keep the control thread busy with it.
const MIN_PERIOD: Micros = Micros::from_millis(100);

/// What the controller asked for.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    period: Option<Micros>,
    backends: Option<Vec<Box<str>>>,
    next: Micros,
}

impl Subscription {
    pub(super) fn set(&mut self, subscribe: Subscribe, now: Micros) {
        let period = Micros::from_millis(subscribe.period_ms.min(3_600_000));
        self.period = (subscribe.period_ms > 0).then(|| period.max(MIN_PERIOD));
        self.backends = subscribe.backends;
        self.next = now;
    }

    pub(super) fn end(&mut self) {
        self.period = None;
    }

    /// When the next frame is due.
    pub(super) fn next(&self) -> Option<Micros> {
        self.period.map(|_| self.next)
    }

    pub(super) fn is_due(&self, now: Micros) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    /// The frame of now is sent, or left out.
    pub(super) fn sent(&mut self, now: Micros) {
        self.next = now + self.period.unwrap_or_default();
    }

    /// The frame of now.
    pub(super) fn frame(&self, backends: &Backends, now: Micros) -> Vec<u8> {
        let members = backends.members(self.backends.as_deref());
        let endpoints =
            members.flat_map(|(name, members)| members.iter().map(|member| stats(name, member, now)));
        let telemetry = Telemetry { at_ms: unix_ms(), endpoints: endpoints.collect(), tag: Tag::default() };
        encode_from_proxy(&FromProxy::Telemetry(telemetry))
    }
}

fn stats(backend: &str, member: &Member, now: Micros) -> EndpointStats {
    let load = &member.state.load;
    let totals = load.totals();
    let count = |class: StatusClass| totals.requests[class as usize];
    let answered_badly = count(StatusClass::ServerError) + count(StatusClass::NoResponse);
    let requests = totals.requests.iter().sum::<u64>();
    let last_failure =
        member.state.last_failure.get().map_or_else(String::new, |(at, reason)| {
            format!("{reason} {:.1}s ago", now.since(at).as_secs_f64())
        });
    EndpointStats {
        backend: backend.into(),
        connections: u64::from(member.state.load.connections()),
        failures: answered_badly + member.state.dial_failures(),
        id: (*member.state.id).into(),
        in_flight: u64::from(load.in_flight()),
        last_failure,
        latency_ewma_us: load.latency(now).map_or(0, |latency| latency.0),
        latency_p50_us: totals.latency.quantile_us(0.5).unwrap_or(0),
        latency_p99_us: totals.latency.quantile_us(0.99).unwrap_or(0),
        requests,
        state: member.state.word(&view(member), now).as_str().into(),
        success: requests - answered_badly,
    }
}
