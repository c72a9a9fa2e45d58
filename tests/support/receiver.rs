//! An HTTP receiver inside the test: records what it is sent and answers as told, well or badly.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::support::wait_until;

/// Longest wait for the rest of a request that has begun.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Method.
    pub(crate) method: String,
    /// Path with query.
    pub(crate) path: String,
    /// Headers by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// Body, byte for byte.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The body as JSON; fails the test when it is none.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header's value, "" when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status, header lines and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The same, after a delay.
    Late(Duration, Box<Reply>),
    /// The request is read and recorded, and the connection closed without an answer.
    Drop,
    /// The connection is closed before the request is read; nothing is recorded.
    Refuse,
    /// Status 200 and a body of so many bytes, as far as the other side takes them.
    Flood(usize),
}

impl Reply {
    /// 200 with the body `ok`, which is what Slack says.
    pub(crate) fn ok() -> Self {
        Self::Answer(200, Vec::new(), "ok".to_owned())
    }

    /// A status with an empty body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }

    /// A status that asks to be left alone for so many seconds.
    pub(crate) fn retry_after(status: u16, seconds: u32) -> Self {
        Self::Answer(status, vec![("Retry-After", seconds.to_string())], String::new())
    }

    /// This reply after a delay.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self::Late(delay, Box::new(self))
    }
}

#[derive(Debug, Default)]
struct Book {
    requests: Vec<Request>,
    once: BTreeMap<String, VecDeque<Reply>>,
    always: BTreeMap<String, Reply>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    closing: Condvar,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reply that is next for a path.
    fn reply(&self, path: &str) -> Reply {
        let mut book = self.book();
        let scripted = book.once.get_mut(path).and_then(VecDeque::pop_front);
        scripted.or_else(|| book.always.get(path).cloned()).unwrap_or_else(Reply::ok)
    }

    /// Waits as long as told, or until the receiver closes.
    fn pause(&self, delay: Duration) {
        let book = self.book();
        drop(self.closing.wait_timeout_while(book, delay, |book| !book.closed));
    }
}

/// An HTTP server on a free port of loopback.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: String,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Starts it; every path answers `200 ok` until told otherwise.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound address").to_string();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// The URL of a path that begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Replies to the next requests to `path`, in this order, before the lasting one.
    pub(crate) fn next(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.shared.book().once.entry(path.to_owned()).or_default().extend(replies);
    }

    /// The lasting reply of `path`.
    pub(crate) fn always(&self, path: &str, reply: Reply) {
        self.shared.book().always.insert(path.to_owned(), reply);
    }

    /// What has arrived so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.book().requests.clone()
    }

    /// What has arrived at a path so far.
    pub(crate) fn requests_to(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }

    /// Waits until `count` requests have arrived at `path`, and returns them all.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, path: &str, count: usize, deadline: Duration) -> Vec<Request> {
        wait_until(deadline, &format!("{count} requests to {path}"), || {
            self.requests_to(path).len() >= count
        });
        self.requests_to(path)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.book().closed = true;
        self.shared.closing.notify_all();
        drop(TcpStream::connect(&self.address)); // wakes the thread that accepts
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.book().closed {
            return;
        }
        if let Ok(stream) = stream {
            let shared = Arc::clone(shared);
            thread::spawn(move || answer(&stream, &shared));
        }
    }
}

/// One request of one connection. A caller that breaks off is its own business.
fn answer(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut reply = shared.reply(path);
    if matches!(reply, Reply::Refuse) {
        return Ok(());
    }
    let request = rest(method.to_owned(), path.to_owned(), &mut reader)?;
    shared.book().requests.push(request);
    while let Reply::Late(delay, then) = reply {
        shared.pause(delay);
        reply = *then;
    }
    match reply {
        Reply::Answer(status, headers, body) => write_answer(stream, status, &headers, &body),
        Reply::Flood(bytes) => flood(stream, bytes),
        Reply::Late(..) | Reply::Drop | Reply::Refuse => Ok(()),
    }
}

fn flood(mut stream: &TcpStream, bytes: usize) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "HTTP/1.1 200 Told\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n")?;
    let block = [b'x'; 64 << 10];
    (0..bytes / block.len()).try_for_each(|_| stream.write_all(&block))
}

/// Headers and body of a request.
fn rest(method: String, path: String, reader: &mut impl BufRead) -> io::Result<Request> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: u64 = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(Request { method, path, headers, body })
}

fn write_answer(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &str,
) -> io::Result<()> {
    let mut text =
        format!("HTTP/1.1 {status} Told\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    stream.write_all(text.as_bytes())
}
