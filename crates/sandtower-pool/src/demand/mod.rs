//! What will be asked for: estimates from what was asked for so far. Pure; the instant is an argument.

mod peak;
mod profile;
mod quantile;
mod rate;

pub(crate) use peak::Peak;
pub(crate) use profile::Profile;
pub(crate) use quantile::stock_for;
pub(crate) use rate::Rate;
