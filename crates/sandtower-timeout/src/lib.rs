//! Tower layers for the deadline of a call and the time-out of an attempt
