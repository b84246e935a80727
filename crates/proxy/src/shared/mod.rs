//! What the threads of the proxy share.
//!
//! Laws:
//! 1. [`Root`] is immutable. The control thread publishes one whole; a worker adopts it between turns and says so in
//!    its [`WorkerCell`].
//! 2. [`BackendSlot`]s, [`EndpointSlot`]s and [`ActionSlot`]s are dense, so that workers keep their own state in
//!    vectors. A slot comes with a number that tells its incarnations apart.
//! 3. An [`EndpointState`] lives as long as anything holds it: a slot is given away again only when nothing but the
//!    registry does and no request is in flight. The same identity used by two Backends is one state.
//! 4. Counters are written by one worker each and summed by the health thread.

mod admission;
mod control_stats;
mod ejections;
mod endpoint;
mod process;
mod root;
mod slots;
mod stats;
mod worker_cell;

pub use admission::{Admission, BindConnections};
pub use control_stats::ControlStats;
pub use ejections::{Ejection, Ejections};
pub use endpoint::{EndpointSlot, EndpointState, EndpointWord, LastFailure};
pub use process::{Clock, Phase, Shared};
pub use root::{
    ActionSlot, Algorithm, BackendSlot, BackendState, BindTable, Changed, Destination, HashOn, Root,
    RouteLabels, RouteStats, RuleAction, RuleTarget,
};
pub use slots::Slots;
pub use stats::{Gauge, Histogram, ReasonCounters};
pub use worker_cell::{Bell, Demand, ListenSocket, WorkerCell, WorkerMessage, WorkerStats};
