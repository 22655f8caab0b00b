//! Where the time of a call went, and why.

mod explained;
mod explanation;
pub mod recording;
mod stage;
mod timeline;

pub use explained::{Explained, ExplainedError, explained};
pub use explanation::{Explanation, MOST_STAGES};
pub use recording::Recording;
pub use stage::{CallStage, StageKind};

#[cfg(test)]
mod tests;
