use ::http::Request;

use crate::core::{Operation, Tick};
use crate::e2b::{Progress, operation as op};
use crate::timeout::{LastMoved, Moves};

/// Tracks uploads: the timeout of an attempt to write a file measures how long the upload stalls.
/// [`HttpTransport`](crate::e2b::HttpTransport) records progress; over another transport the timeout starts
/// when the request is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uploads;

/// When an upload last made progress.
#[derive(Clone, Debug)]
pub struct Upload(Progress);

impl<B> Moves<Request<B>> for Uploads {
    type Watch = Upload;

    fn watch(&self, request: &mut Request<B>, operation: Operation) -> Option<Upload> {
        if operation != op::FILE_WRITE {
            return None;
        }
        let progress = Progress::default();
        request.extensions_mut().insert(progress.clone());
        Some(Upload(progress))
    }
}

impl LastMoved for Upload {
    fn last_moved(&self) -> Option<Tick> {
        self.0.last_moved()
    }
}
