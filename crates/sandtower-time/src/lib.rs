//! The one clock of sandtower: tokio time, with one origin for the whole process
