//! A TCP proxy that stands between the daemon and Kafka and breaks the connection in every way there is.
#![allow(dead_code, reason = "the tests of faults use all of it, those of the source a part")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What happens to bytes from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They pass.
    None,
    /// They pass after so long.
    Delay(Duration),
    /// They pass at so many bytes a second.
    Slow(usize),
    /// They are taken and never come out, in both directions; new connections are accepted.
    Blackhole,
    /// What Kafka sends never comes out: the daemon's requests still arrive.
    HalfOpen,
    /// The next bytes of Kafka are cut off in the middle and the connection is closed.
    Truncate,
    /// Connections end with a reset.
    Reset,
    /// New connections are closed at once; those that are open pass.
    Refuse,
}

#[derive(Debug)]
struct Shared {
    fault: Mutex<Fault>,
    target: Mutex<String>,
    open: Mutex<Vec<TcpStream>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running proxy; it stops accepting when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on a free port of loopback. Until [`Proxy::towards`] says where to, connections are refused.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let shared = Arc::new(Shared {
            fault: Mutex::new(Fault::None),
            target: Mutex::new(String::new()),
            open: Mutex::default(),
        });
        let accepting = Arc::downgrade(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Some(shared) = accepting.upgrade() else { return };
                connect(client, &shared);
            }
        });
        Self { port, shared }
    }

    /// Its port on loopback.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Where connections go, `host:port`.
    pub(crate) fn towards(&self, target: &str) {
        target.clone_into(&mut lock(&self.shared.target));
    }

    /// Changes what happens to bytes; a reset ends what is open at once.
    pub(crate) fn set(&self, fault: Fault) {
        *lock(&self.shared.fault) = fault;
        if matches!(fault, Fault::Reset) {
            for stream in lock(&self.shared.open).drain(..) {
                reset(&stream);
            }
        }
    }
}

/// Closes a connection; bytes that wait unread make the system send a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

fn connect(client: TcpStream, shared: &Arc<Shared>) {
    if matches!(*lock(&shared.fault), Fault::Refuse | Fault::Reset) {
        return reset(&client);
    }
    let target = lock(&shared.target).clone();
    let Ok(server) = TcpStream::connect(target) else { return };
    let copies = [client.try_clone(), server.try_clone(), client.try_clone(), server.try_clone()];
    let [Ok(client_copy), Ok(server_copy), Ok(client_open), Ok(server_open)] = copies else { return };
    lock(&shared.open).extend([client_open, server_open]);
    for (from, to, of_kafka) in [(client, server, false), (server_copy, client_copy, true)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || carry(&from, &to, of_kafka, &shared));
    }
}

/// Carries bytes one way until either side ends.
fn carry(mut from: &TcpStream, mut to: &TcpStream, of_kafka: bool, shared: &Shared) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        let fault = *lock(&shared.fault);
        let passed = match fault {
            Fault::None | Fault::Refuse => to.write_all(&buffer[..count]).is_ok(),
            Fault::Delay(time) => {
                nap(time);
                to.write_all(&buffer[..count]).is_ok()
            }
            Fault::Slow(rate) => buffer[..count].chunks((rate / 20).max(1)).all(|piece| {
                nap(Duration::from_millis(50));
                to.write_all(piece).is_ok()
            }),
            Fault::Blackhole => true,
            Fault::HalfOpen => of_kafka || to.write_all(&buffer[..count]).is_ok(),
            Fault::Truncate if of_kafka => {
                let _ = to.write_all(&buffer[..count / 2]);
                false
            }
            Fault::Truncate => to.write_all(&buffer[..count]).is_ok(),
            Fault::Reset => false,
        };
        if count == 0 || !passed {
            break;
        }
    }
    reset(from);
    reset(to);
}

fn nap(time: Duration) {
    // A thread of its own carries each direction: nobody else waits.
    thread::park_timeout(time);
}
