//! The words of sandtower as types and traits: verdicts, gates, refusals, backoff
