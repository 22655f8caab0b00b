//! Files in a sandbox.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use serde::Serialize;
use serde::de::IgnoredAny;
use tower_service::Service;

use crate::{
    Call, ENVD_PORT, Error, FileInfo, RemotePath, Sandbox,
    body::{Unread, read},
    files::{Entries, Entry},
    operation as op, request,
};

use super::{Client, is_already_there, is_not_found};

/// The longest file that is read unless told otherwise: 16 MiB.
const LONGEST_FILE: usize = 16 * 1_024 * 1_024;

#[derive(Serialize)]
struct At<'a> {
    path: &'a str,
}

/// Every method fails with an [`Error`] that says which call, what happened and whether to make it
/// again. One that envd itself rejects is [`Answered`](Error::Answered), with envd's words.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The content of a file of at most 16 MiB.
    ///
    /// # Errors
    ///
    /// Status 404: there is no such file. [`FileTooLong`](Error::FileTooLong): see
    /// [`read_file_up_to`](Self::read_file_up_to).
    pub async fn read_file(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
    ) -> Result<Bytes, Error> {
        self.read_file_up_to(sandbox, path, LONGEST_FILE).await
    }

    /// The content of a file, if it has at most `longest` bytes: no file fills the memory of who
    /// reads it.
    ///
    /// # Errors
    ///
    /// Status 404: there is no such file. [`FileTooLong`](Error::FileTooLong): it is longer.
    pub async fn read_file_up_to(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
        longest: usize,
    ) -> Result<Bytes, Error> {
        let call = Call::new(op::FILE_READ, Some(sandbox.id().clone()));
        let path = path.into().query();
        // Compressed, it could not be told how long it is.
        let identity = HeaderValue::from_static("identity");
        let request = request::inside(&self.config, sandbox, ENVD_PORT, Method::GET, &path)
            .and_then(|request| {
                Ok(request.header(header::ACCEPT_ENCODING, identity).body(Full::default())?)
            })
            .map_err(|error| request::failed(&call, error))?;
        let body = self.successful(&call, request).await?.into_body();
        match read(body, longest, self.patience(&call)).await {
            Ok(content) => Ok(content),
            Err(Unread::TooLong(longest)) => Err(Error::FileTooLong { call, longest }),
            Err(Unread::Broken(source)) => Err(Error::Unreadable { call, source }),
        }
    }

    /// Writes a whole file: what was there is replaced, directories that are not there are made.
    ///
    /// # Errors
    ///
    /// Some or all of it may have been written; writing it again is safe. Status 507: the disk is
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
        let content = Full::new(content.into());
        let request = request::inside(&self.config, sandbox, ENVD_PORT, Method::POST, &path)
            .and_then(|request| Ok(request.header(header::CONTENT_TYPE, raw).body(content)?))
            .map_err(|error| request::failed(&call, error))?;
        self.json::<IgnoredAny>(&call, request).await.map(drop)
    }

    /// What is known of a file or directory; `None`: there is none.
    ///
    /// # Errors
    ///
    /// As for every call.
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

    /// Whether there is such a file or directory.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn exists(
        &self,
        sandbox: &Sandbox,
        path: impl Into<RemotePath>,
    ) -> Result<bool, Error> {
        Ok(self.stat(sandbox, path).await?.is_some())
    }

    /// What is in a directory, and in those within it down to `depth`: 1 is the directory alone.
    ///
    /// # Errors
    ///
    /// Status 404: there is no such directory. Status 400: it is a file.
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

    /// Makes a directory, with those it is in. `false`: it was there already.
    ///
    /// # Errors
    ///
    /// Status 400: something else is there.
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

    /// Moves a file or directory, in the name of the user of `from`.
    ///
    /// # Errors
    ///
    /// Status 404: there is nothing to move, perhaps since an attempt before moved it.
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

    /// Removes a file, or a directory with all that is in it. That it is not there is no error.
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
