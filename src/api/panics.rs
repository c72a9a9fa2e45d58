//! A handler that panics: a bug of ours, which must neither end the process nor pass unseen.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Gate;
use super::error::ApiError;

/// Answers with an error where a handler panicked, and counts it. Handlers read the board and send orders, each in one
/// piece: nothing of theirs is left half done.
pub(super) async fn catch(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut answering = pin!(next.run(request));
    let answer =
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        });
    match answer.await {
        Some(response) => response,
        None => {
            gate.panicked();
            tracing::error!(path, "a handler of the API panicked; the request is answered with an error");
            let error = "the answer could not be made: a bug, and the log says where".to_owned();
            ApiError::Internal { error }.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;
    use crate::api::{ApiObserver, serve};

    #[derive(Clone, Default)]
    struct Counted(Arc<AtomicUsize>);

    impl ApiObserver for Counted {
        fn refused(&self, _: &'static str) {}

        fn panicked(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn breaks() -> &'static str {
        tokio::task::yield_now().await;
        panic!("on purpose")
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_counted_and_answered_and_others_go_on() {
        let counted = Counted::default();
        let gate = Gate::new(crate::config::Http::default(), counted.clone()).expect("no tokens");
        let router = Router::new()
            .route("/breaks", get(breaks))
            .route("/works", get(async || "fine"))
            .layer(from_fn_with_state(gate, catch));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (_open, shutdown) = watch::channel(false);
        tokio::spawn(serve(listener, router, shutdown));
        let ask = async |path: &str| {
            let answer = reqwest::get(format!("http://{address}{path}")).await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        };
        for times in 1..=2 {
            assert_eq!(ask("/breaks").await.0, 500);
            assert_eq!(counted.0.load(Ordering::Relaxed), times);
            assert_eq!(ask("/works").await, (200, "fine".to_owned()));
        }
    }
}
