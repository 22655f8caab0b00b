/// An invalid [`Config`](crate::Config).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `max` is zero.
    #[error("`max` must be at least 1; leave `pool` out to have no warm sandboxes")]
    NoStock,
    /// `min` is above `max`.
    #[error("`min` is {min} and `max` is {max}; `min` must not be above `max`")]
    MinAboveMax {
        /// The configured minimum.
        min: u32,
        /// The configured maximum.
        max: u32,
    },
    /// `price` is not a price.
    #[error("`price` is {price}; it must be greater than 0: dollars for an hour of a sandbox")]
    Price {
        /// The configured price.
        price: f64,
    },
    /// The budget pays for nothing.
    #[error(
        "`budget` is ${budget}/h, which pays for no sandbox at a `price` of ${price}/h; raise it to at least \
         `price`, or leave `pool` out"
    )]
    Budget {
        /// The configured budget.
        budget: f64,
        /// The configured price.
        price: f64,
    },
    /// Warm stock could take all slots of the plan.
    #[error(
        "`max` is {max}, but the plan has {slots} slots, of which `spare_slots` keeps {spare} free: `max` must \
         be at most {}", slots.saturating_sub(*spare)
    )]
    MaxAbovePlan {
        /// The configured maximum.
        max: u32,
        /// Sandboxes at a time of the plan.
        slots: u32,
        /// The configured number of spare slots.
        spare: u32,
    },
    /// `served` is out of range.
    #[error("`served` is {served}; it must be at least 0.5 and below 1")]
    Served {
        /// The configured share.
        served: f64,
    },
    /// `idle_for` is out of range.
    #[error("`idle_for` must be between 30 s and `max_lifetime`")]
    IdleFor,
    /// A time is zero.
    #[error("`peak_half_life`, `create_every` and `hand_out_within` must be greater than zero")]
    ZeroTime,
    /// A count is zero.
    #[error("`reuse` and `create_burst` must be at least 1")]
    ZeroCount,
    /// There are too many shapes.
    #[error("`shapes` and `learn` must be at most 32 together")]
    ManyShapes,
    /// A row of the schedule is invalid.
    #[error("`schedule`: {0}")]
    Schedule(String),
    /// The store cannot be used.
    #[error("`store`: {0}")]
    Store(String),
    /// There is a store, and no owner to read it by.
    #[error(
        "`store` needs an owner: the name of this process that outlives it, and is no other's, such as \
         \"worker-7\""
    )]
    StoreOwner,
    /// A shape is invalid.
    #[error("`shapes`: {0}")]
    Shape(String),
}
