//! Series of Backends and their endpoints.

use std::sync::atomic::Ordering;

use fairlead_balance::{EndpointView, Histogram, Micros, StatusClass};
use rustc_hash::FxHashMap;

use super::gauge_seconds;
use super::text::{Page, Type};
use crate::shared::{BackendState, Ejection, EndpointState, EndpointWord, Root, Shared};

/// Every fourth bucket of the record is a bound here: 16 of 64 are enough for a graph.
const BUCKET_STEP: usize = 4;

struct Series<'a> {
    backend: &'a BackendState,
    endpoint: &'a EndpointState,
    view: &'a EndpointView,
    address: String,
}

impl Series<'_> {
    fn labels(&self) -> Vec<(&str, &str)> {
        vec![
            ("backend_namespace", &self.backend.namespace),
            ("backend", &self.backend.name),
            ("endpoint", &self.address),
            ("pod", self.endpoint.pod.as_deref().unwrap_or_default()),
        ]
    }
}

pub(super) fn write(page: &mut Page, shared: &Shared, root: &Root, now: Micros) {
    let all: Vec<Series<'_>> = root.backends.iter().flat_map(|(_, backend)| series(backend)).collect();
    page.family("fairlead_upstream_endpoints", Type::Gauge, "Endpoints of a Backend, by state.");
    for (_, backend) in root.backends.iter() {
        for state in EndpointWord::ALL {
            let count = backend
                .endpoints
                .iter()
                .zip(backend.views.iter())
                .filter(|(endpoint, view)| endpoint.word(view, now) == state);
            let labels = [
                ("backend_namespace", &*backend.namespace),
                ("backend", &*backend.name),
                ("state", state.as_str()),
            ];
            page.int("fairlead_upstream_endpoints", &labels, count.count() as u64);
        }
    }
    let name_of = "fairlead_upstream_connection_overflows_total";
    page.family(
        name_of,
        Type::Counter,
        "Requests refused because every endpoint had its limit of connections.",
    );
    for (_, backend) in root.backends.iter() {
        let labels = [("backend_namespace", &*backend.namespace), ("backend", &*backend.name)];
        let count = backend.overflows.load(Ordering::Relaxed);
        if count > 0 || backend.max_connections_per_endpoint.is_some() {
            page.int(name_of, &labels, count);
        }
    }
    ejections(page, root);
    let retired = shared.control.endpoints_retired.get();
    page.one(
        "fairlead_upstream_endpoints_retired",
        Type::Gauge,
        "Gone, and still held by a request.",
        retired,
    );
    let endpoints: FxHashMap<_, _> = all.iter().map(|each| (each.endpoint.slot, each.endpoint)).collect();
    let used: u64 = endpoints.values().map(|endpoint| u64::from(endpoint.load.in_flight())).sum();
    let in_flight = used + shared.control.retired_in_flight.get();
    let help = "In flight on all endpoints, each counted once, gone ones too.";
    page.one("fairlead_upstream_attempts_in_flight", Type::Gauge, help, in_flight);
    let enabled = all.len() <= shared.config.endpoint_metrics_max;
    let help = "1 while there are series per endpoint; 0 above the limit of endpoint_metrics_max.";
    page.one("fairlead_upstream_endpoint_metrics_enabled", Type::Gauge, help, u64::from(enabled));
    if enabled {
        per_endpoint(page, &all, now);
    }
}

fn ejections(page: &mut Page, root: &Root) {
    let name_of = "fairlead_upstream_ejections_total";
    page.family(name_of, Type::Counter, "Endpoints passed over from then on, by the failure that did it.");
    for (_, backend) in root.backends.iter() {
        for ejection in Ejection::ALL {
            let labels = [
                ("backend_namespace", &*backend.namespace),
                ("backend", &*backend.name),
                ("reason", ejection.as_str()),
            ];
            let count = backend.ejections.count(ejection);
            if count > 0 {
                page.int(name_of, &labels, count);
            }
        }
    }
}

fn series(backend: &BackendState) -> impl Iterator<Item = Series<'_>> {
    backend.endpoints.iter().zip(backend.views.iter()).map(move |(endpoint, view)| Series {
        backend,
        endpoint,
        view,
        address: endpoint.address.to_string(),
    })
}

fn per_endpoint(page: &mut Page, all: &[Series<'_>], now: Micros) {
    let help = "Attempts that are over, by class of the answer; none: without a whole one.";
    page.family("fairlead_upstream_requests_total", Type::Counter, help);
    for each in all {
        let totals = each.endpoint.load.totals();
        for class in StatusClass::ALL {
            let mut labels = each.labels();
            labels.push(("code", class.as_str()));
            let count = totals.requests[class as usize];
            if count > 0 {
                page.int("fairlead_upstream_requests_total", &labels, count);
            }
        }
    }
    let name_of = "fairlead_upstream_request_duration_seconds";
    page.family(name_of, Type::Histogram, "From the request to the answer's first byte.");
    for each in all {
        let latency = each.endpoint.load.totals().latency;
        if latency.count() > 0 {
            page.histogram(name_of, &each.labels(), coarse(&latency), latency.sum_us);
        }
    }
    page.family("fairlead_upstream_requests_in_flight", Type::Gauge, "Attempts that are not over.");
    for each in all {
        let in_flight = u64::from(each.endpoint.load.in_flight());
        page.int("fairlead_upstream_requests_in_flight", &each.labels(), in_flight);
    }
    page.family(
        "fairlead_upstream_dial_failures_total",
        Type::Counter,
        "Dials that were refused or timed out.",
    );
    for each in all {
        page.int("fairlead_upstream_dial_failures_total", &each.labels(), each.endpoint.dial_failures());
    }
    page.family("fairlead_upstream_connections", Type::Gauge, "Open connections.");
    for each in all {
        let open = u64::from(each.endpoint.load.connections());
        page.int("fairlead_upstream_connections", &each.labels(), open);
    }
    page.family(
        "fairlead_upstream_latency_average_seconds",
        Type::Gauge,
        "The average that picks are made by.",
    );
    for each in all {
        if let Some(latency) = each.endpoint.load.latency(now) {
            gauge_seconds(page, "fairlead_upstream_latency_average_seconds", &each.labels(), latency.0);
        }
    }
    page.family("fairlead_upstream_endpoint_state", Type::Gauge, "1 for the state that the endpoint is in.");
    for each in all {
        let mut labels = each.labels();
        labels.push(("state", each.endpoint.word(each.view, now).as_str()));
        page.int("fairlead_upstream_endpoint_state", &labels, 1);
    }
}

fn coarse(latency: &Histogram) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
    let last = latency.buckets.len() - 1;
    latency.buckets.chunks(BUCKET_STEP).enumerate().map(move |(index, counts)| {
        let upper = Histogram::upper_us(((index + 1) * BUCKET_STEP - 1).min(last));
        (upper, counts.iter().sum())
    })
}
