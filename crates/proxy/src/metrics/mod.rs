//! `/metrics`: everything that is counted, in Prometheus' text format.
//!
//! Laws:
//! 1. Series follow the adopted configuration: those of a deleted Route, Backend or Endpoint are not written any
//!    more.
//! 2. No label carries what a client chose.
//! 3. Series per endpoint are written up to a limit; above it `fairlead_upstream_endpoint_metrics_enabled` says 0.

mod kube;
mod text;
mod upstream;

use fairlead_balance::{Micros, StatusClass};

use crate::diagnostics::unix_ms;
use crate::shared::{Histogram, ReasonCounters, Root, RouteStats, Shared, WorkerCell};
use text::{Page, Type, seconds};

/// Of Prometheus' text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page as of now.
pub fn page(shared: &Shared) -> Vec<u8> {
    render(shared, shared.clock.now())
}

/// The whole page.
pub(crate) fn render(shared: &Shared, now: Micros) -> Vec<u8> {
    let mut page = Page::default();
    let root = shared.root.load_full();
    process(&mut page, shared);
    configuration(&mut page, shared);
    kube::write(&mut page, shared, now);
    downstream(&mut page, shared, &root);
    upstream::write(&mut page, shared, &root, now);
    page.into_bytes()
}

fn process(page: &mut Page, shared: &Shared) {
    page.family("fairlead_build_info", Type::Gauge, "The version that runs.");
    page.int(
        "fairlead_build_info",
        &[("version", env!("CARGO_PKG_VERSION")), ("instance", &shared.config.instance)],
        1,
    );
    let draining = u64::from(shared.phase() > crate::shared::Phase::Running);
    page.one("fairlead_draining", Type::Gauge, "1 while the proxy is on its way out.", draining);
    page.one("fairlead_workers", Type::Gauge, "Worker threads.", shared.workers.len() as u64);
    let dropped = shared.workers.iter().map(|worker| worker.log.dropped()).sum();
    page.one("fairlead_access_log_dropped_total", Type::Counter, "Lines that did not fit.", dropped);
}

fn configuration(page: &mut Page, shared: &Shared) {
    let control = &shared.control;
    let one = Page::one;
    one(
        page,
        "fairlead_config_generation",
        Type::Gauge,
        "Generation adopted by all workers.",
        control.generation.get(),
    );
    one(
        page,
        "fairlead_config_epoch",
        Type::Gauge,
        "Controller epoch of the generation, in ms.",
        control.epoch.get(),
    );
    one(
        page,
        "fairlead_controller_connected",
        Type::Gauge,
        "1 while the controller is connected.",
        control.connected.get(),
    );
    one(
        page,
        "fairlead_controller_connects_total",
        Type::Counter,
        "Connections made.",
        control.connects.get(),
    );
    by_reason(
        page,
        "fairlead_controller_disconnects_total",
        "Connections lost, by reason.",
        &[&control.disconnects],
    );
    page.family(
        "fairlead_config_last_success_timestamp_seconds",
        Type::Gauge,
        "When a position was last adopted.",
    );
    let last = control.last_success_ms.get() as f64 / 1e3;
    page.float("fairlead_config_last_success_timestamp_seconds", &[], last);
    own_histogram(
        page,
        "fairlead_config_apply_duration_seconds",
        "From a transaction to its adoption by all.",
        &control.apply,
    );
    own_histogram(
        page,
        "fairlead_endpoint_propagation_seconds",
        "From endpoint event to adoption by all.",
        &control.propagation,
    );
    by_reason(page, "fairlead_config_rejected_total", "Refused resources, by reason.", &[&control.rejected]);
    by_reason(
        page,
        "fairlead_last_good_refused_total",
        "Last good files refused, by reason.",
        &[&control.last_good_errors],
    );
    let errors = control.last_good_write_errors.get();
    one(page, "fairlead_last_good_write_errors_total", Type::Counter, "Failed attempts to write it.", errors);
    let written = control.last_good_written_ms.get();
    if written > 0 {
        page.family(
            "fairlead_last_good_age_seconds",
            Type::Gauge,
            "Time since the last good file was written.",
        );
        let age_ms = unix_ms() - i64::try_from(written).unwrap_or(i64::MAX);
        page.float("fairlead_last_good_age_seconds", &[], age_ms.max(0) as f64 / 1e3);
    }
    page.family("fairlead_bind_listening", Type::Gauge, "1 where the bind's socket listens.");
    for fact in control.binds() {
        page.int("fairlead_bind_listening", &[("bind", &fact.name)], u64::from(fact.listening));
    }
}

fn downstream(page: &mut Page, shared: &Shared, root: &Root) {
    let workers = || shared.workers.iter().map(|worker| &worker.stats);
    let sum = |get: fn(&crate::shared::WorkerStats) -> u64| workers().map(get).sum::<u64>();
    page.one("fairlead_downstream_connections", Type::Gauge, "Open.", sum(|stats| stats.connections.get()));
    page.one(
        "fairlead_downstream_connections_total",
        Type::Counter,
        "Accepted.",
        sum(|stats| stats.accepted.get()),
    );
    page.one(
        "fairlead_downstream_requests_in_flight",
        Type::Gauge,
        "Now.",
        sum(|stats| stats.exchanges.get()),
    );
    let reasons =
        |get: fn(&WorkerCell) -> &ReasonCounters| shared.workers.iter().map(get).collect::<Vec<_>>();
    let refused = reasons(|worker| &worker.stats.refused);
    by_reason(page, "fairlead_http_requests_refused_total", "Refused by form or limit, by reason.", &refused);
    let refused = reasons(|worker| &worker.stats.refused_responses);
    by_reason(page, "fairlead_upstream_responses_refused_total", "Refused by form, by reason.", &refused);
    let retries = reasons(|worker| &worker.stats.retries);
    by_reason(page, "fairlead_upstream_retries_total", "Repeats and hedged dials, by reason.", &retries);
    let stale = sum(|stats| stats.stale_picks.get());
    page.one(
        "fairlead_upstream_stale_picks_total",
        Type::Counter,
        "Picks of endpoints that were gone.",
        stale,
    );
    let idle = sum(|stats| stats.upstream_idle.get());
    page.one("fairlead_upstream_idle_connections", Type::Gauge, "Kept for reuse.", idle);

    let stats: Vec<&RouteStats> = root.stats.iter().map(|(_, stats)| &**stats).collect();
    page.family("fairlead_http_requests_total", Type::Counter, "Requests, by class of the status sent.");
    for each in &stats {
        for class in StatusClass::ALL {
            let count = each.requests(class);
            if count > 0 {
                with_labels(each, |labels| {
                    labels.push(("code", class.as_str()));
                    page.int("fairlead_http_requests_total", labels, count);
                });
            }
        }
    }
    page.family("fairlead_http_request_duration_seconds", Type::Histogram, "From first byte to last.");
    for each in &stats {
        let (buckets, sum_us) = each.durations();
        if buckets.iter().any(|count| *count > 0) {
            let buckets = bounds().zip(buckets);
            with_labels(each, |labels| {
                page.histogram("fairlead_http_request_duration_seconds", labels, buckets, sum_us);
            });
        }
    }
}

fn with_labels(stats: &RouteStats, write: impl FnOnce(&mut Vec<(&str, &str)>)) {
    let rule = stats.labels.rule.to_string();
    let labels = &stats.labels;
    let mut all = vec![("gateway", &*labels.gateway), ("listener", &*labels.listener)];
    if !labels.route.is_empty() {
        all.extend([
            ("route_namespace", &*labels.route_namespace),
            ("route", &*labels.route),
            ("rule", &*rule),
        ]);
    }
    write(&mut all);
}

fn bounds() -> impl Iterator<Item = Option<u64>> {
    Histogram::BOUNDS_US.into_iter().map(Some).chain([None])
}

fn own_histogram(page: &mut Page, name: &str, help: &str, histogram: &Histogram) {
    page.family(name, Type::Histogram, help);
    let mut buckets = [0; Histogram::BOUNDS_US.len() + 1];
    let sum_us = histogram.add_to(&mut buckets);
    page.histogram(name, &[], bounds().zip(buckets), sum_us);
}

fn by_reason(page: &mut Page, name: &str, help: &str, counters: &[&ReasonCounters]) {
    page.family(name, Type::Counter, help);
    let mut totals = std::collections::BTreeMap::new();
    for (reason, count) in counters.iter().flat_map(|counters| counters.iter()) {
        *totals.entry(reason).or_insert(0) += count;
    }
    for (reason, count) in totals {
        page.int(name, &[("reason", reason)], count);
    }
}

/// Microseconds as a gauge in seconds.
fn gauge_seconds(page: &mut Page, name: &str, labels: text::Labels<'_>, micros: u64) {
    page.float(name, labels, seconds(micros));
}
