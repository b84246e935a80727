//! From a Route on one Listener to what the routing table holds.

use std::sync::Arc;

use fairlead_route::{Attachment, MatchSpec, PathMatch, RouteSpec, RuleSpec, SpecError};
use fairlead_snapshot::{Listener, PathMatchType, Reason, Refusal, Resource, Route, RouteMatch, Rule};
use rustc_hash::FxHashMap;

use super::backends::Backends;
use super::slots::Numbers;
use crate::config::TimeoutsConfig;
use crate::shared::{ActionSlot, Destination, RouteLabels, RouteStats, RuleAction, RuleTarget};

/// What a resource must be like beyond its own form: the part of validation that needs the routing table's view.
pub(super) fn check(resource: &Resource) -> Result<(), Refusal> {
    let Resource::Route(route) = resource else { return Ok(()) };
    let all = route.rules.iter().flat_map(|rule| &rule.matches);
    all.map(match_spec).try_for_each(|result| result.map(drop))
}

fn match_spec(each: &RouteMatch) -> Result<MatchSpec, Refusal> {
    let path = match each.path.r#type {
        PathMatchType::Exact => PathMatch::Exact(each.path.value.to_string()),
        PathMatchType::Prefix => PathMatch::Prefix(each.path.value.to_string()),
    };
    let pairs = |fields: &[fairlead_snapshot::FieldMatch]| {
        fields.iter().map(|field| (field.name.to_string(), field.value.to_string())).collect()
    };
    let method = each.method.as_ref().map(ToString::to_string);
    MatchSpec::new(path, method, pairs(&each.headers), pairs(&each.query)).map_err(|error| match error {
        SpecError::Path(error) => Refusal::new(
            Reason::InvalidPath,
            format!("path {:?} has no normal form: {error:?}", each.path.value),
        ),
        SpecError::Hostname(host) => {
            Refusal::new(Reason::InvalidHostname, format!("{host:?} is not a hostname"))
        }
    })
}

/// What the actions of one Route on one Listener hold, to be given back when they go.
#[derive(Debug, Default)]
pub(super) struct Installed {
    actions: Vec<(ActionSlot, u32)>,
}

#[derive(Debug)]
struct Counted {
    slot: u32,
    stats: Arc<RouteStats>,
    uses: u32,
}

/// Makes actions; keeps their counters across versions of a Route.
#[derive(Debug)]
pub(super) struct Actions {
    numbers: Numbers,
    stats_numbers: Numbers,
    by_labels: FxHashMap<RouteLabels, Counted>,
    by_slot: FxHashMap<u32, RouteLabels>,
    unused: Vec<RouteLabels>,
    changed_stats: Vec<(u32, Option<Arc<RouteStats>>)>,
    gone: Vec<ActionSlot>,
    workers: usize,
    timeouts: TimeoutsConfig,
}

/// What a transaction changed.
#[derive(Debug, Default)]
pub(super) struct ActionChanges {
    pub(super) stats: Vec<(u32, Option<Arc<RouteStats>>)>,
    pub(super) gone: Vec<ActionSlot>,
}

impl Actions {
    pub(super) fn new(workers: usize, timeouts: TimeoutsConfig) -> Self {
        Self {
            numbers: Numbers::default(),
            stats_numbers: Numbers::default(),
            by_labels: FxHashMap::default(),
            by_slot: FxHashMap::default(),
            unused: Vec::new(),
            changed_stats: Vec::new(),
            gone: Vec::new(),
            workers,
            timeouts,
        }
    }

    /// The table's entry for `route` on `listener`, and what it holds.
    pub(super) fn install(
        &mut self,
        backends: &mut Backends,
        key: Arc<str>,
        route: &Route,
        (listener_name, listener): (&Arc<str>, &Listener),
    ) -> (RouteSpec<Arc<RuleAction>>, Installed) {
        let mut installed = Installed::default();
        let rules = route.rules.iter().enumerate().map(|(index, rule)| {
            let labels = labels(listener, Some((route, index as u16)));
            let (stats_slot, stats) = self.count(labels);
            let (index, version) = self.numbers.take();
            let slot = ActionSlot { index, version };
            installed.actions.push((slot, stats_slot));
            let action = Arc::new(self.action(backends, rule, slot, listener.port, stats));
            // Refused by `check` before; a match without a spec could only be one that matches nothing.
            RuleSpec {
                matches: rule.matches.iter().filter_map(|each| match_spec(each).ok()).collect(),
                action,
            }
        });
        let rules = rules.collect();
        let spec = RouteSpec {
            key,
            created_s: route.created_s,
            name: format!("{}/{}", route.namespace, route.name).into(),
            attachments: vec![attachment(route, listener_name)],
            rules,
        };
        (spec, installed)
    }

    /// Gives back what the entry held.
    pub(super) fn uninstall(&mut self, backends: &mut Backends, route: &Route, installed: Installed) {
        for target in route.rules.iter().flat_map(|rule| &rule.targets) {
            if let Some(name) = &target.backend {
                backends.forget(name);
            }
        }
        for (slot, stats_slot) in installed.actions {
            self.numbers.give_back(slot.index);
            self.gone.push(slot);
            self.uncount(stats_slot);
        }
    }

    /// Counters of requests that a Listener took and no Rule matched.
    pub(super) fn count_unmatched(&mut self, listener: &Listener) -> (u32, Arc<RouteStats>) {
        self.count(labels(listener, None))
    }

    /// Counters for these labels, which have one more user.
    pub(super) fn count(&mut self, labels: RouteLabels) -> (u32, Arc<RouteStats>) {
        let counted = self.by_labels.entry(labels).or_insert_with_key(|labels| {
            let (slot, _) = self.stats_numbers.take();
            let stats = Arc::new(RouteStats::new(labels.clone(), self.workers));
            self.by_slot.insert(slot, labels.clone());
            self.changed_stats.push((slot, Some(Arc::clone(&stats))));
            Counted { slot, stats, uses: 0 }
        });
        counted.uses += 1;
        (counted.slot, Arc::clone(&counted.stats))
    }

    /// One user of the counters less.
    pub(super) fn uncount(&mut self, slot: u32) {
        let Some(labels) = self.by_slot.get(&slot) else { return };
        if let Some(counted) = self.by_labels.get_mut(labels) {
            counted.uses -= 1;
            if counted.uses == 0 {
                self.unused.push(labels.clone());
            }
        }
    }

    /// The end of a transaction: counters without a user go.
    pub(super) fn settle(&mut self) -> ActionChanges {
        for labels in std::mem::take(&mut self.unused) {
            if self.by_labels.get(&labels).is_some_and(|counted| counted.uses == 0)
                && let Some(counted) = self.by_labels.remove(&labels)
            {
                self.by_slot.remove(&counted.slot);
                self.stats_numbers.give_back(counted.slot);
                self.changed_stats.push((counted.slot, None));
            }
        }
        ActionChanges { stats: std::mem::take(&mut self.changed_stats), gone: std::mem::take(&mut self.gone) }
    }

    fn action(
        &self,
        backends: &mut Backends,
        rule: &Rule,
        slot: ActionSlot,
        listener_port: u16,
        stats: Arc<RouteStats>,
    ) -> RuleAction {
        let destination = |target: &fairlead_snapshot::Target| match (&target.backend, target.error) {
            (Some(name), _) => Destination::Backend(backends.refer(name)),
            (None, Some(error)) => Destination::Invalid(error),
            (None, None) => Destination::Invalid(fairlead_snapshot::TargetError::BackendNotFound),
        };
        let mut destination = destination;
        let targets = rule
            .targets
            .iter()
            .map(|target| RuleTarget { weight: target.weight, to: destination(target) })
            .collect();
        let timeouts = rule.timeouts.unwrap_or_default();
        let micros = |given: Option<u64>, default_ms: u64| {
            Some(given.unwrap_or(default_ms)).filter(|ms| *ms > 0).map(|ms| ms.saturating_mul(1_000))
        };
        RuleAction {
            slot,
            targets,
            request_timeout_us: micros(timeouts.request_ms, self.timeouts.request_ms),
            backend_timeout_us: micros(timeouts.backend_request_ms, self.timeouts.backend_request_ms),
            listener_port,
            stats,
        }
    }
}

/// The hostnames effective on the Listener, however many of the Route's parents led there.
fn attachment(route: &Route, listener: &Arc<str>) -> Attachment {
    let all = || route.attachments.iter().filter(|each| each.listener == *listener);
    let every_host = all().any(|each| each.hostnames.is_empty());
    let hostnames = all().filter(|_| !every_host).flat_map(|each| &each.hostnames);
    Attachment { listener: Arc::clone(listener), hostnames: hostnames.map(ToString::to_string).collect() }
}

fn labels(listener: &Listener, route: Option<(&Route, u16)>) -> RouteLabels {
    RouteLabels {
        gateway: format!("{}/{}", listener.gateway_namespace, listener.gateway).into(),
        listener: listener.listener.clone(),
        route_namespace: route.map(|(route, _)| route.namespace.clone()).unwrap_or_default(),
        route: route.map(|(route, _)| route.name.clone()).unwrap_or_default(),
        rule: route.map_or(0, |(_, rule)| rule),
    }
}
