//! The client's side of one connection of HTTP/1.1, as cheap as can be: what it costs, every proxy pays.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is read or written at once.
pub(super) const PIECE: usize = 64 * 1_024;

/// One connection, kept alive.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::with_buffer(address, 4_096).await
    }

    pub(super) async fn with_buffer(address: SocketAddr, length: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; length].into() })
    }

    /// Sends `request` and reads the response to its end.
    pub(super) async fn call(&mut self, request: &[u8]) -> io::Result<()> {
        self.write(request).await?;
        let left = self.head().await?;
        self.skip(left).await
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads the head of a response: how much of its body is still to come.
    pub(super) async fn head(&mut self) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if let Some(left) = body_left(&self.buffer[..filled])? {
                return Ok(left);
            }
        }
    }

    /// Reads `left` bytes.
    pub(super) async fn skip(&mut self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            let most = left.min(self.buffer.len());
            match self.stream.read(&mut self.buffer[..most]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left -= read,
            }
        }
        Ok(())
    }

    /// The same connection, and its socket to be written to from another thread.
    pub(super) fn split(self) -> io::Result<(std::net::TcpStream, Self)> {
        let socket = self.stream.into_std()?;
        let stream = TcpStream::from_std(socket.try_clone()?)?;
        Ok((socket, Self { stream, buffer: self.buffer }))
    }
}

/// How much of the body of a response is still to come; `None`: its head is not complete yet.
pub(super) fn body_left(read: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = read.split_at(end + 4);
    let text = String::from_utf8_lossy(head);
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::other(format!("unexpected response: {text}")));
    }
    let length = head.split(|byte| *byte == b'\n').find_map(|line| {
        let name = line.get(..CONTENT_LENGTH.len())?;
        let is_length = name.eq_ignore_ascii_case(CONTENT_LENGTH);
        let value = str::from_utf8(&line[CONTENT_LENGTH.len()..]).ok().filter(|_| is_length)?;
        value.trim().parse::<usize>().ok()
    });
    let length = length.ok_or_else(|| io::Error::other(format!("no length: {text}")))?;
    length.checked_sub(body.len()).map(Some).ok_or_else(|| io::Error::other("the body is too long"))
}

const CONTENT_LENGTH: &[u8] = b"content-length:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_body_is_known_once_the_head_is_there() {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
        assert_eq!(body_left(response).unwrap(), Some(7));
        assert_eq!(body_left(&response[..30]).unwrap(), None);
        assert!(body_left(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(body_left(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(body_left(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nx").is_err());
    }
}
