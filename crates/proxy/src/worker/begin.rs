//! From a request's head to its first attempt: host, path, route, target, the head as it goes on.

use std::sync::Arc;

use fairlead_balance::{Micros, Rng};
use fairlead_http1::{Field, Forwarded, HeadStorage, RequestContext, RequestEdits, RequestHead, Scheme};
use fairlead_route::{HeaderLookup, Normalised, RequestView, normalise_path};

use super::slab::Key;
use super::upstream::Hands;
use super::{Worker, hashing};
use crate::conn::state::{Active, Conn, Flow, Phase};
use crate::exchange::{Failure, Flags, Plan};
use crate::shared::{Algorithm, BackendState, Destination, RuleAction};
use crate::timer::NEVER;

/// Room for what a head gains on its way; more is no harm.
const ADDED_BYTES: usize = 512;

/// A head's fields, as the routing table asks for them.
struct Fields<'a> {
    storage: &'a HeadStorage,
    buf: &'a [u8],
}

impl HeaderLookup for Fields<'_> {
    fn each_value(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        let named = |field: &&Field| field.name.of(self.buf).eq_ignore_ascii_case(name.as_bytes());
        for field in self.storage.fields().iter().filter(named) {
            visit(field.value.of(self.buf));
        }
    }
}

impl Worker {
    /// Begins the Exchange of a request whose head is at the front of the inbound buffer.
    pub(crate) fn begin(&mut self, key: Key, active: &mut Active, head: &RequestHead) {
        self.budget.request(self.now);
        let flow = &mut active.flow;
        flow.request.method = head.method;
        flow.request.version = head.version;
        flow.request.keep_alive = head.keep_alive;
        flow.request.expects_continue = head.expect_continue;
        flow.request.upgrade = head.upgrade;
        flow.request.is_last = head.is_last();
        flow.request.out.clear();
        flow.response.context = RequestContext::of(head);
        flow.moved_at = self.now;
        flow.phase = Phase::Relay;
        let routed = self.route(key, flow, head);
        if routed.is_err() {
            self.count_unmatched(key, flow);
        }
        let routed = routed.map(|action| (self.target(&action), action));
        if let Ok((Ok(backend), _)) = &routed {
            flow.request.hash = self.hash(key, flow, backend);
        }
        if let Some(buffer) = &mut flow.inbound {
            buffer.consume(head.len);
        }
        flow.expect_body(head.framing, head.body(&self.request_limits));
        let (target, action) = match routed {
            Ok(routed) => routed,
            Err(failure) if failure.status == 400 => return self.refuse(key, active, failure),
            Err(failure) => return self.answer(active, failure),
        };
        let replay = self.shared.config.limits.replay_bytes as usize;
        if let Err(error) = flow.take_body(replay) {
            let reason = error.reason();
            let failure = Failure::new(reason.request_status(), Flags::DPE, reason.as_str());
            return self.refuse(key, active, failure);
        }
        let backend = match target {
            Ok(backend) => backend,
            Err(failure) => return self.answer(active, failure),
        };
        let repeats = backend.retry_attempts;
        flow.account.backend = Some(backend);
        let within = |micros: Option<u64>| micros.filter(|micros| *micros > 0).map(Micros);
        let plan = Plan {
            idempotent: head.method.is_repeatable(),
            upgrade: head.upgrade,
            replayable: flow.request.received && flow.request.ready == 0,
            repeats,
            deadline: within(action.request_timeout_us).map_or(NEVER, |limit| self.now + limit),
            attempt_timeout: within(action.backend_timeout_us),
            hedge_after: self.times.hedge,
            connect_timeout: self.times.connect,
        };
        let Active { machine, flow } = active;
        let now = self.now;
        let step = machine.start(plan, now, &mut Hands { worker: self, flow, owner: key });
        self.take_step(active, step);
    }

    /// Finds the Rule, and writes the head as it goes on.
    fn route(&mut self, key: Key, flow: &mut Flow, head: &RequestHead) -> Result<Arc<RuleAction>, Failure> {
        let Some(Conn::Down(down)) = self.conns.get(key) else { return Err(Failure::NO_ROUTE) };
        let buf = flow.inbound.as_ref().map_or(&[][..], |buffer| buffer.filled());
        if self.logs {
            flow.account.note_head(head, buf, &self.fields);
        }
        head.write_host(buf, &mut self.host);
        let Some(table) = &self.binds[down.bind as usize].table else {
            // Its Listener is gone: on this connection nothing will ever be found.
            flow.request.keep_alive = false;
            return Err(Failure::NO_ROUTE);
        };
        let raw = head.path(buf);
        let rewritten =
            match if raw == b"*" { Ok(Normalised::Unchanged) } else { normalise_path(raw, &mut self.path) } {
                Ok(Normalised::Unchanged) => None,
                Ok(Normalised::Rewritten) => Some(&self.path[..]),
                Err(error) => return Err(Failure::new(400, Flags::DPE, error.as_str())),
            };
        let view = RequestView {
            host: &self.host,
            path: rewritten.unwrap_or(raw),
            query: head.query(buf),
            method: head.method_name(buf),
            headers: &Fields { storage: &self.fields, buf },
        };
        let action = table.table.find(&view).ok_or(Failure::NO_ROUTE)?;
        let forwarded = Forwarded {
            client: down.peer.ip(),
            trust: self.shared.config.forwarded.trust(down.peer.ip()),
            proto: Some(Scheme::Http),
            host: true,
        };
        let edits = RequestEdits {
            path: rewritten,
            forwarded: Some(forwarded),
            close: head.is_last(),
            ..RequestEdits::default()
        };
        // Grown piece by piece a large head would get twice its room.
        flow.request.out.reserve_exact(head.len + ADDED_BYTES);
        head.write_to(buf, &self.fields, &mut flow.request.out, &edits)
            .map_err(|_| Failure::new(400, Flags::DPE, "path_not_emittable"))?;
        let action = Arc::clone(action);
        flow.account.stats = Some(Arc::clone(&action.stats));
        Ok(action)
    }

    /// What chooses the Endpoint where keys decide. The head must be at hand. A request without a key gets a random one.
    fn hash(&mut self, key: Key, flow: &Flow, state: &BackendState) -> u64 {
        let Algorithm::Hashed(on, _) = &state.algorithm else { return 0 };
        let Some(Conn::Down(down)) = self.conns.get(key) else { return 0 };
        let buf = flow.inbound.as_ref().map_or(&[][..], |buffer| buffer.filled());
        let forwarded = &self.shared.config.forwarded;
        let known = hashing::key(on, down.peer.ip(), forwarded, &self.fields, buf);
        known.unwrap_or_else(|| self.rng.next_u64())
    }

    fn target(&mut self, action: &RuleAction) -> Result<Arc<BackendState>, Failure> {
        let target = self
            .choose(action)
            .and_then(|index| action.targets.get(index))
            .ok_or(Failure::INVALID_BACKEND)?;
        match target.to {
            Destination::Backend(slot) => {
                self.root.backends.get(slot.0).cloned().ok_or(Failure::INVALID_BACKEND)
            }
            Destination::Invalid(_) => Err(Failure::INVALID_BACKEND),
        }
    }

    /// Where a request that never got to routing is counted.
    pub(crate) fn count_unrouted(&mut self, key: Key, flow: &mut Flow) {
        if flow.account.stats.is_none() {
            self.host.clear();
            self.count_unmatched(key, flow);
        }
    }

    /// Where a request to the host at hand is counted that no Rule took.
    fn count_unmatched(&self, key: Key, flow: &mut Flow) {
        let Some(Conn::Down(down)) = self.conns.get(key) else { return };
        let table = self.binds[down.bind as usize].table.as_ref();
        flow.account.stats = table.map(|table| Arc::clone(table.unmatched(&self.host)));
    }
}
