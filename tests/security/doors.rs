//! Those who take their time, and those who come in crowds.

use std::time::Duration;

use anchorwatch::api::{Patience, Surface};
use anchorwatch::config::Http;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixtures::Served;

/// Little, so that a test need not wait; the other is what would take for ever.
const SOON: Duration = Duration::from_millis(300);
const NEVER: Duration = Duration::from_secs(3_600);
/// After this a test has failed.
const DEADLINE: Duration = Duration::from_secs(60);

async fn served(head: Duration, silent: Duration, max_connections: usize) -> Served {
    let settings = Http { max_connections, ..Http::default() };
    Served::open(settings, Surface::All, None, Patience { head, silent }).await
}

async fn connected(served: &Served, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.expect("connects");
    stream.write_all(request).await.expect("written");
    stream
}

/// What is answered until the connection is closed, which it must be.
async fn answered(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let closed = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    assert!(closed.is_ok(), "the connection is still open");
    String::from_utf8_lossy(&bytes).into_owned()
}

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// The same by somebody who then goes.
const ONE_REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let served = served(SOON, NEVER, 10).await;
    for begun in [&b""[..], b"G", b"GET /livez HTTP/1.1\r\nX-Slow: "] {
        let answer = answered(connected(&served, begun).await).await;
        assert!(!answer.contains("200"), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_head_gains_nothing_by_a_byte_now_and_then() {
    let served = served(SOON, NEVER, 10).await;
    let (mut read, mut write) = connected(&served, b"GET /livez HTTP/1.1\r\nX-Slow: ").await.into_split();
    let mut bytes = Vec::new();
    let mut end = std::pin::pin!(read.read_to_end(&mut bytes));
    let cut_off = async {
        loop {
            // Between two bytes somebody else is served.
            let other = async { answered(connected(&served, ONE_REQUEST).await).await };
            tokio::select! {
                _ = &mut end => break,
                _ = other => {}
            }
            if write.write_all(b"a").await.is_err() {
                break;
            }
        }
    };
    assert!(tokio::time::timeout(DEADLINE, cut_off).await.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn a_connection_with_nothing_more_to_say_is_closed() {
    let served = served(NEVER, SOON, 10).await;
    let answer = answered(connected(&served, REQUEST).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_crowd_waits_at_the_door_and_is_served_when_others_have_gone() {
    let served = served(SOON, SOON, 2).await;
    let idle = [connected(&served, b"").await, connected(&served, b"").await];
    let third = connected(&served, REQUEST).await;
    let answer = answered(third).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(idle);
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let served = served(NEVER, NEVER, 4).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(connected(&served, b"").await);
    }
    // The fourth place is not for the same address …
    let closed = TcpStream::connect(served.address).await.expect("connects");
    assert_eq!(answered(closed).await, "");
    // … but for another one.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 2], 0).into()).expect("all of 127.0.0.0/8 is loopback");
    let mut other = socket.connect(served.address).await.expect("connects");
    other.write_all(ONE_REQUEST).await.expect("written");
    assert!(answered(other).await.starts_with("HTTP/1.1 200"));
    drop(idle);
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let served = served(NEVER, NEVER, 10).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert_eq!(answered(connected(&served, preface).await).await, "");
}
