//! Tower layers for running users code in sandboxes: the recommended stack
