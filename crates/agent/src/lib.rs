//! The life of a call: it waits for a slot, runs in a container, and leaves a record.
//!
//! [`Agent::submit`] takes an [`Invocation`] and the body of its request, and gives the function's [`Answer`] or a
//! [`Failure`]. Either way the call is recorded, with its log and the samples of what it used.
//!
//! [`Background`] runs the calls of a queue the same way, when there is room.
//!
//! Inside, `slots` decides which call gets which container, purely; `dispatch` carries that out; `hot` and `cold` are
//! the lives of containers; `container` is one exchange; `formats` is what is said in it.

mod agent;
mod alarm;
mod answer;
mod background;
mod body;
mod capacity;
mod cold;
mod container;
mod cpu;
mod dispatch;
mod env;
mod errors;
mod formats;
mod hot;
mod images;
mod incoming;
mod invocation;
mod lateness;
mod launch;
mod listen;
mod live;
mod log;
mod metrics;
mod outgoing;
mod probe;
mod quiet;
mod settings;
mod slots;
mod stop;
mod timeline;
mod trace;
mod work;

pub use agent::{Agent, Occupancy, empty_body, full_body};
pub use background::{Background, submission};
pub use body::{Aborted, AnswerBody};
pub use capacity::memory_capacity;
pub use invocation::{Answer, BodyError, Failure, Invocation, Request, RequestBody, Timing, Via};
pub use listen::{CallListener, ListenerError, ListenerFailures};
pub use metrics::{CallCounts, Key, Labels, Metrics, Series, register_occupancy};
pub use settings::Settings;
pub use trace::{Span, SpanId, Trace, TraceId, TraceSink, Tracer};

use errors::client_error;
