//! A service that follows a script.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use sandtower_core::{BoxError, Seed};
use sandtower_e2b::{Client, Config, Sandbox, envelope::encode};
use tower::Service;

pub(crate) type Req = Request<Full<Bytes>>;

/// The next step of a body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    /// The connection breaks.
    Break,
    /// Nothing more arrives, and the body does not end.
    Silence,
}

pub(crate) fn data(bytes: impl Into<Bytes>) -> Piece {
    Piece::Data(bytes.into())
}

#[derive(Debug)]
pub(crate) struct Pieces(VecDeque<Piece>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.0.pop_front() {
            Some(Piece::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Piece::Break) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Some(Piece::Silence) => {
                self.0.push_front(Piece::Silence);
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

/// The fate of a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Responds(u16, Vec<Piece>),
    /// No response ever.
    Never,
}

pub(crate) fn ok(pieces: impl Into<Vec<Piece>>) -> Reply {
    Reply::Responds(200, pieces.into())
}

/// Follows its script, in order; the last reply serves all further requests.
#[derive(Clone)]
pub(crate) struct Script(Arc<Shared>);

struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Req>>,
}

impl Script {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Mutex::new(replies.into_iter().collect());
        Self(Arc::new(Shared { replies, requests: Mutex::default() }))
    }

    pub(crate) fn sent(&self) -> usize {
        self.0.requests.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Req {
        self.0.requests.lock().unwrap().last().unwrap().clone()
    }
}

impl Service<Req> for Script {
    type Response = Response<Pieces>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Pieces>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.0.requests.lock().unwrap().push(request);
        let mut replies = self.0.replies.lock().unwrap();
        let reply = match replies.len() {
            1 => replies[0].clone(),
            _ => replies.pop_front().unwrap(),
        };
        Box::pin(async move {
            match reply {
                Reply::Responds(status, pieces) => {
                    let body = Pieces(pieces.into());
                    Ok(Response::builder().status(status).body(body)?)
                }
                Reply::Never => std::future::pending().await,
            }
        })
    }
}

pub(crate) fn config() -> Config {
    Config::new("e2b_key").unwrap().seed(Seed::fixed(1))
}

pub(crate) fn client(replies: impl IntoIterator<Item = Reply>) -> Client<Script> {
    Client::new(Script::new(replies), config())
}

pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new("i0abc".parse().unwrap(), None)
}

/// These messages as envelopes; the last one ends the stream.
pub(crate) fn stream(messages: &[&str]) -> Vec<u8> {
    let mut envelopes: Vec<Vec<u8>> =
        messages.iter().map(|message| encode(message.as_bytes()).unwrap().to_vec()).collect();
    envelopes.last_mut().unwrap()[0] = 2;
    envelopes.concat()
}
