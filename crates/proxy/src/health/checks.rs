//! What `/livez` and `/readyz` look at.

use std::fmt::Write;

use fairlead_balance::Micros;

use crate::shared::{Phase, Shared};

/// A loop that has not turned for longer is taken for dead.
const HEARTBEAT_LIMIT: Micros = Micros::from_secs(5);

#[derive(Debug)]
enum Outcome {
    Ok,
    Failed(String),
    /// For people: does not count.
    FailedNotRequired(String),
}

/// Checks with their results.
#[derive(Debug, Default)]
pub(super) struct Report {
    checks: Vec<(String, Outcome)>,
}

impl Report {
    fn add(&mut self, name: impl Into<String>, outcome: Outcome) {
        self.checks.push((name.into(), outcome));
    }

    pub(super) fn ok(&self) -> bool {
        !self.checks.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
    }

    /// As Kubernetes' components write it.
    pub(super) fn text(&self, verbose: bool) -> String {
        if !verbose {
            return "ok\n".to_owned();
        }
        let mut text = String::new();
        for (name, outcome) in &self.checks {
            // Writing to a String cannot fail.
            let _ = match outcome {
                Outcome::Ok => writeln!(text, "[+]{name} ok"),
                Outcome::Failed(reason) => writeln!(text, "[-]{name} failed: {reason}"),
                Outcome::FailedNotRequired(reason) => {
                    writeln!(text, "[-]{name} failed (not required): {reason}")
                }
            };
        }
        text.push_str(if self.ok() { "check passed\n" } else { "check failed\n" });
        text
    }
}

fn holds(ok: bool, reason: impl FnOnce() -> String) -> Outcome {
    if ok { Outcome::Ok } else { Outcome::Failed(reason()) }
}

/// Whether all loops turn.
pub(super) fn live(shared: &Shared, now: Micros) -> Report {
    let mut report = Report::default();
    let mut beat = |name: String, last: Micros| {
        let age = now.since(last);
        report.add(name, holds(age <= HEARTBEAT_LIMIT, || format!("no turn for {:.1} s", age.as_secs_f64())));
    };
    for (index, worker) in shared.workers.iter().enumerate() {
        beat(format!("worker-{index}"), worker.heartbeat());
    }
    beat("control".to_owned(), Micros(shared.control.heartbeat.get()));
    report
}

/// Whether requests may be sent here. Does not depend on the controller.
pub(super) fn ready(shared: &Shared) -> Report {
    let mut report = Report::default();
    let adopted = shared.control.adopted_root.get();
    report.add("configuration", holds(adopted > 0, || "none was adopted by all workers yet".to_owned()));
    let binds = shared.control.binds();
    let listening = binds.iter().filter(|fact| fact.listening).count();
    for fact in &binds {
        // One bind that fails must not take the others out of service.
        if !fact.listening && listening > 0 {
            report.add(format!("bind-{}", fact.name), Outcome::FailedNotRequired(fact.message.clone()));
        }
    }
    let bound = listening > 0 || binds.is_empty();
    let reasons = || binds.iter().map(|fact| format!("{}: {}", fact.name, fact.message)).collect::<Vec<_>>();
    report.add("listeners", holds(bound, || reasons().join("; ")));
    let running = shared.phase() == Phase::Running;
    report.add("not-draining", holds(running, || "draining".to_owned()));
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProxyConfig;

    #[test]
    fn a_worker_without_a_turn_for_5_s_is_not_alive() {
        let shared = Shared::new(ProxyConfig { workers: Some(2), ..ProxyConfig::default() });
        let now = Micros::from_secs(100);
        shared.control.heartbeat.set(now.0);
        shared.workers[0].beat(now);
        shared.workers[1].beat(Micros::from_secs(95));
        assert!(live(&shared, now).ok());
        let report = live(&shared, now + Micros(1));
        assert!(!report.ok());
        assert!(report.text(true).contains("[-]worker-1 failed: no turn for 5.0 s"), "{}", report.text(true));
    }

    #[test]
    fn readiness_needs_a_configuration_and_a_socket_and_ends_with_the_drain() {
        let shared = Shared::new(ProxyConfig { workers: Some(1), ..ProxyConfig::default() });
        assert!(!ready(&shared).ok());
        shared.control.adopted_root.set(1);
        assert!(ready(&shared).ok(), "no bind is wanted");
        let fact = |name: &str, listening| fairlead_snapshot::BindFact {
            listening,
            message: "in use".to_owned(),
            name: name.into(),
        };
        shared.control.set_binds(vec![fact("a", false)]);
        assert!(!ready(&shared).ok());
        shared.control.set_binds(vec![fact("a", false), fact("b", true)]);
        let report = ready(&shared);
        assert!(report.ok(), "one bad bind harms itself only");
        let text = report.text(true);
        assert!(text.contains("[-]bind-a failed (not required): in use\n"), "{text}");
        assert!(text.ends_with("[+]listeners ok\n[+]not-draining ok\ncheck passed\n"), "{text}");
        shared.advance(Phase::Draining);
        let report = ready(&shared);
        assert!(!report.ok());
        assert!(report.text(true).contains("[-]not-draining failed: draining"), "{}", report.text(true));
    }
}
