//! Listeners that nobody can hold shut: so many connections, handshakes beside one another, and little patience.
//!
//! A connection is closed when the head of its request is not complete after [`HEAD_WITHIN`], or when nothing could be
//! answered on it for [`SILENT_FOR`]: longer than any handler takes, and than a slow sender of a body deserves. One
//! address holds at most three quarters of the places, so that it alone cannot shut others out; what it opens beyond is
//! closed and counted.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use axum_server::accept::Accept as _;
use axum_server::tls_openssl::OpenSSLAcceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use super::ApiObserver;
use super::tls::{Tls, names};

/// Longest time for a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Longest time for the head of a request, once it has begun.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Longest time without a byte of an answer; orders are answered within half of it.
pub const SILENT_FOR: Duration = Duration::from_secs(60);
/// Pause after the system refused a connection, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Names of its certificate, if it showed one that our authorities signed.
    pub names: Arc<[String]>,
}

/// Who is let in.
struct Places {
    free: Arc<Semaphore>,
    /// Connections of each address that has any, so never more entries than places.
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// Most of one address.
    share: usize,
    observer: Option<Arc<dyn ApiObserver>>,
}

/// A place of an address; it is free again when this is dropped.
struct Place {
    address: IpAddr,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

impl Places {
    fn new(most: usize) -> Self {
        let (free, share) = (Arc::new(Semaphore::new(most)), (most - most / 4).max(1));
        Self { free, held: Arc::default(), share, observer: None }
    }

    /// A place for this address, unless it has its share already.
    fn take(&self, address: IpAddr, permit: Option<OwnedSemaphorePermit>) -> Option<Place> {
        let address = address.to_canonical();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_default();
        if *count >= self.share {
            self.observer.iter().for_each(|observer| observer.refused("connections"));
            return None;
        }
        *count += 1;
        Some(Place { address, held: Arc::clone(&self.held), _permit: permit })
    }
}

/// A listener with its bounds.
pub struct Doors {
    listener: TcpListener,
    tls: Option<Tls>,
    places: Places,
    patience: Patience,
    handshakes: JoinSet<Option<(Connection, Peer)>>,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Doors {
    /// Opens for at most so many connections at a time.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Option<Tls>, most: usize) -> Self {
        let (places, patience) = (Places::new(most), Patience::default());
        Self { listener, tls, places, patience, handshakes: JoinSet::new() }
    }

    /// The same, with somebody who counts what is turned away at the door.
    #[must_use]
    pub fn observed(mut self, observer: Arc<dyn ApiObserver>) -> Self {
        self.places.observer = Some(observer);
        self
    }

    /// The same with other times, for those who cannot wait.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }
}

/// How long a connection is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the head of a request, once it has begun.
    pub head: Duration,
    /// Without a byte of an answer.
    pub silent: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: HEAD_WITHIN, silent: SILENT_FOR }
    }
}

async fn taken(listener: &TcpListener, places: &Places) -> (TcpStream, SocketAddr, Place) {
    loop {
        // The semaphore is never closed.
        let permit = Arc::clone(&places.free).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, address)) => {
                if let Some(place) = places.take(address.ip(), permit) {
                    return (stream, address, place);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn shake_hands(
    (stream, address, place): (TcpStream, SocketAddr, Place),
    tls: Tls,
    patience: Patience,
) -> Option<(Connection, Peer)> {
    let acceptor = OpenSSLAcceptor::new(tls.config).handshake_timeout(HANDSHAKE_WITHIN);
    let (stream, ()) = acceptor.accept(stream, ()).await.ok()?;
    let certificate = stream.ssl().peer_certificate();
    let names = certificate.map(|certificate| names(&certificate)).unwrap_or_default().into();
    Some((Connection::new(Box::new(stream), place, patience), Peer { address, names }))
}

impl Listener for Doors {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(opened)) = done {
                        return opened;
                    }
                }
                (stream, address, place) = taken(&self.listener, &self.places) => match &self.tls {
                    Some(tls) => {
                        let shaken = shake_hands((stream, address, place), tls.clone(), self.patience);
                        self.handshakes.spawn(shaken);
                    }
                    None => {
                        let peer = Peer { address, names: Arc::default() };
                        return (Connection::new(Box::new(stream), place, self.patience), peer);
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.listener.local_addr()?, names: Arc::default() })
    }
}

impl Connected<IncomingStream<'_, Doors>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Self {
        stream.remote_addr().clone()
    }
}

/// What bytes go over: TCP, plain or encrypted.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection with a deadline that moves as requests are answered.
pub struct Connection {
    stream: Box<dyn Stream>,
    deadline: Pin<Box<Sleep>>,
    head: Head,
    patience: Patience,
    _place: Place,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// How much of a request's head has come.
#[derive(Debug, Default)]
struct Head {
    read: u64,
    last_four: [u8; 4],
    complete: bool,
}

impl Head {
    /// Takes bytes in; false if this is not HTTP/1.
    fn take(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.last_four.rotate_left(1);
            self.last_four[3] = *byte;
            self.read = self.read.saturating_add(1);
            self.complete |= self.last_four == *b"\r\n\r\n";
            if self.read == 4 && self.last_four == *b"PRI " {
                return false;
            }
        }
        true
    }
}

impl Connection {
    fn new(stream: Box<dyn Stream>, place: Place, patience: Patience) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience.head));
        Self { stream, deadline, head: Head::default(), patience, _place: place }
    }

    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn wait(&mut self, time: Duration) {
        self.deadline.as_mut().reset(Instant::now() + time);
    }

    fn took(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (begins, was_complete) = (self.head.read == 0, self.head.complete);
        if !self.head.take(bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP/2 is not spoken here"));
        }
        match (begins, was_complete, self.head.complete) {
            (_, false, true) => self.wait(self.patience.silent),
            (true, _, _) => self.wait(self.patience.head),
            _ => {}
        }
        Ok(())
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>, context: &mut Context<'_>) -> io::Result<()> {
        match written {
            Poll::Ready(_) => {
                self.head = Head::default();
                self.wait(self.patience.silent);
                Ok(())
            }
            Poll::Pending => self.in_time(context),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.took(&buffer.filled()[before..])?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&written, context)?;
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(&written, context)?;
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_complete_however_it_is_cut_into_pieces() {
        for cut in 0..20 {
            let (mut head, text) = (Head::default(), b"GET / HTTP/1.1\r\n\r\n");
            let (first, rest) = text.split_at(cut.min(text.len()));
            assert!(head.take(first) && head.complete == (first.len() == text.len()));
            assert!(head.take(rest) && head.complete);
        }
        assert!(!Head::default().take(b"PRI * HTTP/2.0"));
    }
}
