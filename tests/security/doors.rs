//! Those who take their time, and those who come in crowds. Time is paused: it passes when nobody has anything to do.

use std::time::Duration;

use anchorwatch::api::{HEAD_WITHIN, SILENT_FOR, Surface};
use anchorwatch::config::Http;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::fixtures::Served;

async fn after(stream: &mut TcpStream) -> (Duration, String) {
    let (start, mut bytes) = (Instant::now(), Vec::new());
    drop(stream.read_to_end(&mut bytes).await);
    (start.elapsed(), String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off() {
    let served = Served::start(Http::default(), Surface::All).await;
    let mut stream = TcpStream::connect(served.address).await.expect("connects");
    stream.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await.expect("written");
    let (waited, answer) = after(&mut stream).await;
    assert!((HEAD_WITHIN..SILENT_FOR).contains(&waited) && !answer.contains("200"), "{waited:?} {answer}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_anything_to_say_is_closed() {
    let served = Served::start(Http::default(), Surface::All).await;
    let mut stream = TcpStream::connect(served.address).await.expect("connects");
    let (waited, _) = after(&mut stream).await;
    assert!((HEAD_WITHIN..SILENT_FOR).contains(&waited), "before its first request: {waited:?}");
    let mut stream = TcpStream::connect(served.address).await.expect("connects");
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("written");
    let (waited, answer) = after(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!((SILENT_FOR..SILENT_FOR * 2).contains(&waited), "between two requests: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_waits_at_the_door_and_is_served_when_others_have_gone() {
    let served = Served::start(Http { max_connections: 2, ..Http::default() }, Surface::All).await;
    let idle = [TcpStream::connect(served.address).await, TcpStream::connect(served.address).await];
    let mut third = TcpStream::connect(served.address).await.expect("waits in the backlog");
    third.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.expect("written");
    let (waited, answer) = after(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!((HEAD_WITHIN..HEAD_WITHIN * 3).contains(&waited), "{waited:?}");
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn http_2_is_not_spoken() {
    let served = Served::start(Http::default(), Surface::All).await;
    let mut stream = TcpStream::connect(served.address).await.expect("connects");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("written");
    let (_, answer) = after(&mut stream).await;
    assert_eq!(answer, "");
}
