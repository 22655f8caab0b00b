//! Tests that need more than one crate live in `it`; the code blocks of the documents are compiled here.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../CONTRIBUTING.md")]
mod contributing {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/architecture.md")]
mod architecture {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/safe-creation.md")]
mod safe_creation {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide.md")]
mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/settings.md")]
mod settings {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/migration.md")]
mod migration {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/pool.md")]
mod pool {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/operations.md")]
mod operations {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/telemetry.md")]
mod telemetry {}
