//! Series of the controller's reflectors, as the controller last told: it has no page of its own.

use fairlead_balance::Micros;

use super::gauge_seconds;
use super::text::{Page, Type};
use crate::shared::Shared;

pub(super) fn write(page: &mut Page, shared: &Shared, now: Micros) {
    let (told, reflectors) = shared.control.reflectors();
    let name = "fairlead_kube_reflector_relists_total";
    page.family(name, Type::Counter, "Lists begun, by kind.");
    for stats in &reflectors {
        page.int(name, &[("kind", &stats.kind)], stats.relists);
    }
    let name = "fairlead_kube_reflector_watch_events_total";
    page.family(name, Type::Counter, "Watch events, by kind.");
    for stats in &reflectors {
        page.int(name, &[("kind", &stats.kind)], stats.watch_events);
    }
    let name = "fairlead_kube_reflector_last_sync_age_seconds";
    page.family(name, Type::Gauge, "Since the controller's copy of a kind was last known to be current.");
    for stats in &reflectors {
        if let Some(age_ms) = stats.last_sync_age_ms {
            let age = Micros::from_millis(age_ms) + now.since(told);
            gauge_seconds(page, name, &[("kind", &stats.kind)], age.0);
        }
    }
    let name = "fairlead_kube_reflector_errors_total";
    page.family(name, Type::Counter, "Failed lists and watches, by kind and the error's code.");
    for stats in &reflectors {
        for (reason, count) in &stats.errors {
            page.int(name, &[("kind", &stats.kind), ("reason", reason)], *count);
        }
    }
}
