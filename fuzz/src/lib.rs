//! What the fuzz targets check. The modules of the agent are built here once more, by path: fuzzing then needs
//! neither Docker's client nor a database, and sees what the agent keeps to itself.

#![expect(dead_code, unused_imports, reason = "the modules hold more than is fuzzed")]

#[path = "../../crates/agent/src/body.rs"]
mod body;
#[path = "../../crates/agent/src/env.rs"]
mod env;
#[path = "../../crates/agent/src/formats/mod.rs"]
mod formats;
#[path = "../../crates/agent/src/invocation.rs"]
mod invocation;

mod answers;
mod requests;
pub mod speed;

pub use answers::answers;
pub use body::{Aborted, AnswerBody};
pub use requests::requests;
