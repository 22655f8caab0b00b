//! Reading and writing files in a sandbox.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use serde::Serialize;
use serde::de::IgnoredAny;
use tower_service::Service;

use crate::{
    Call, Config, ENVD_PORT, Error, FileInfo, RemotePath, Sandbox,
    api::files::{Entries, Entry},
    api::request,
    operation as op,
    transport::{
        body::Unread,
        exchange::{LONGEST_RESPONSE, parse},
        within::Limit,
    },
};

use super::{Client, is_already_there, is_not_found};

/// The longest file that is read by default: 16 MiB.
const LONGEST_FILE: usize = 16 * 1_024 * 1_024;

/// In bytes per second: the slowest upload that is expected to arrive.
const SLOWEST_UPLOAD: u64 = 64 * 1_024;

/// The default timeout of an upload of `length` bytes: that of other calls plus the time of the slowest
/// expected connection.
fn upload_limit(config: &Config, length: usize) -> Option<Duration> {
    let timeouts = config.operation_timeouts();
    timeouts.call_of(op::FILE_WRITE).or_else(|| {
        let moving = Duration::from_secs(length as u64 / SLOWEST_UPLOAD);
        Some(timeouts.call_of(op::FILE_STAT)?.saturating_add(moving))
    })
}

#[derive(Serialize)]
struct At<'a> {
    path: &'a str,
}

/// All methods return an [`Error`] that names the call, the cause and whether to make it again. An error
/// of envd is [`Status`](Error::Status), with envd's message.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Reads a file of at most 16 MiB.
    ///
    /// # Errors
    ///
    /// Status 404: the file does not exist. [`FileTooLong`](Error::FileTooLong): see
    /// [`read_file_up_to`](Self::read_file_up_to).
    pub async fn read_file(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
    ) -> Result<Bytes, Error> {
        self.read_file_up_to(sandbox, path, LONGEST_FILE).await
    }

    /// Reads a file of at most `longest` bytes, so that no file exhausts the caller's memory.
    ///
    /// # Errors
    ///
    /// Status 404: the file does not exist. [`FileTooLong`](Error::FileTooLong): it is longer.
    pub async fn read_file_up_to(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
        longest: usize,
    ) -> Result<Bytes, Error> {
        let call = Call::new(op::FILE_READ, Some(sandbox.id().clone()));
        let path = path.into().query();
        // Of a compressed response the length would be unknown.
        let identity = HeaderValue::from_static("identity");
        let build = || {
            let request = request::inside(&self.config, sandbox, ENVD_PORT, Method::GET, &path)?;
            Ok(request.header(header::ACCEPT_ENCODING, &identity).body(Full::default())?)
        };
        match self.collect(&call, self.limit(&call), longest, build, Ok).await? {
            Ok((content, _)) => Ok(content),
            Err(Unread::TooLong(longest)) => Err(Error::FileTooLong { call, longest }),
            Err(unread) => Err(Error::BrokenResponse { call, source: unread.into() }),
        }
    }

    /// Writes a whole file: replaces its content, and creates missing directories.
    ///
    /// # Errors
    ///
    /// Some or all of the data may have been written; writing it again is safe. Status 507: the disk is
    /// full.
    pub async fn write_file(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
        content: impl Into<Bytes>,
    ) -> Result<(), Error> {
        let call = Call::new(op::FILE_WRITE, Some(sandbox.id().clone()));
        let path = path.into().query();
        let raw = HeaderValue::from_static("application/octet-stream");
        let content = content.into();
        let limit = Limit::from_now(upload_limit(&self.config, content.len()));
        let build = || {
            let request = request::inside(&self.config, sandbox, ENVD_PORT, Method::POST, &path)?;
            Ok(request.header(header::CONTENT_TYPE, &raw).body(Full::new(content.clone()))?)
        };
        match self.collect(&call, limit, LONGEST_RESPONSE, build, |body| parse(&body)).await? {
            Ok((IgnoredAny, _)) => Ok(()),
            Err(unread) => Err(Error::BrokenResponse { call, source: unread.into() }),
        }
    }

    /// The metadata of a file or directory; `None`: it does not exist.
    ///
    /// # Errors
    ///
    /// Those of every call.
    pub async fn stat(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
    ) -> Result<Option<FileInfo>, Error> {
        let call = Call::new(op::FILE_STAT, Some(sandbox.id().clone()));
        let RemotePath { path, user } = path.into();
        let (to, user) = ("/filesystem.Filesystem/Stat", user.as_deref());
        match self.unary(&call, sandbox, to, user, &At { path: &path }).await {
            Ok(Entry { entry }) => Ok(Some(entry)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a file or directory exists.
    ///
    /// # Errors
    ///
    /// Those of every call.
    pub async fn exists(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
    ) -> Result<bool, Error> {
        Ok(self.stat(sandbox, path).await?.is_some())
    }

    /// Lists a directory, and its subdirectories down to `depth`; 1: the directory alone.
    ///
    /// # Errors
    ///
    /// Status 404: the directory does not exist. Status 400: it is a file.
    pub async fn list_dir(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
        depth: u32,
    ) -> Result<Vec<FileInfo>, Error> {
        #[derive(Serialize)]
        struct In<'a> {
            path: &'a str,
            depth: u32,
        }
        let call = Call::new(op::FILE_LIST, Some(sandbox.id().clone()));
        let RemotePath { path, user } = path.into();
        let (to, body) = ("/filesystem.Filesystem/ListDir", In { path: &path, depth });
        let found: Entries = self.unary(&call, sandbox, to, user.as_deref(), &body).await?;
        Ok(found.entries)
    }

    /// Creates a directory and its parents. `false`: it existed already.
    ///
    /// # Errors
    ///
    /// Status 400: the path exists and is not a directory.
    pub async fn make_dir(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
    ) -> Result<bool, Error> {
        let call = Call::new(op::FILE_MAKE_DIR, Some(sandbox.id().clone()));
        let RemotePath { path, user } = path.into();
        let (to, user) = ("/filesystem.Filesystem/MakeDir", user.as_deref());
        match self.unary::<IgnoredAny>(&call, sandbox, to, user, &At { path: &path }).await {
            Ok(_) => Ok(true),
            Err(error) if is_already_there(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves a file or directory, as the user of `from`.
    ///
    /// # Errors
    ///
    /// Status 404: the source does not exist, perhaps because an earlier attempt moved it.
    pub async fn rename(
        &self,
        sandbox: &Sandbox,
        from: impl Into<RemotePath>,
        to: impl Into<String>,
    ) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Move<'a> {
            source: &'a str,
            destination: &'a str,
        }
        let call = Call::new(op::FILE_MOVE, Some(sandbox.id().clone()));
        let (RemotePath { path, user }, to) = (from.into(), to.into());
        let body = Move { source: &path, destination: &to };
        let path = "/filesystem.Filesystem/Move";
        self.unary::<IgnoredAny>(&call, sandbox, path, user.as_deref(), &body).await.map(drop)
    }

    /// Removes a file, or a directory with its content. Succeeds if it does not exist.
    ///
    /// # Errors
    ///
    /// Some or all of it may be gone.
    pub async fn remove(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
    ) -> Result<(), Error> {
        let call = Call::new(op::FILE_REMOVE, Some(sandbox.id().clone()));
        let RemotePath { path, user } = path.into();
        let (to, user) = ("/filesystem.Filesystem/Remove", user.as_deref());
        self.unary::<IgnoredAny>(&call, sandbox, to, user, &At { path: &path }).await.map(drop)
    }
}
