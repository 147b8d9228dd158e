//! What is true of every transfer of a signed object: whoever holds an address needs no sign-in, but is not denied, has
//! so many transfers at a time, and takes or sends the bytes in good time.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{
    Edge, Peer,
    shed::{Place, Shed},
};
use crate::base::{blob::transfer_max, task::Tasks};

/// Uploads at the same time, and how many of them one client may have: eight people of one address, with eight each.
const UPLOADS_MAX: usize = 256;
const CLIENT_UPLOADS_MAX: usize = 64;
/// Downloads at the same time, and how many of them one client may have. Each keeps a file open.
const DOWNLOADS_MAX: usize = 1_024;
const CLIENT_DOWNLOADS_MAX: usize = 256;
/// What a client is told to wait that gets no place.
const RETRY_AFTER_SECS: HeaderValue = HeaderValue::from_static("1");

#[derive(Clone)]
struct Transfers {
    edge: Edge,
    uploads: Shed,
    downloads: Shed,
}

/// Puts the stages of a transfer in front of `objects`.
pub(super) fn bounded(objects: Router, edge: Edge) -> Router {
    let uploads = Shed::new(UPLOADS_MAX, CLIENT_UPLOADS_MAX);
    let downloads = Shed::new(DOWNLOADS_MAX, CLIENT_DOWNLOADS_MAX);
    objects.layer(middleware::from_fn_with_state(Transfers { edge, uploads, downloads }, pass))
}

async fn pass(State(transfers): State<Transfers>, request: Request, next: Next) -> Response {
    let Transfers { edge, uploads, downloads } = &transfers;
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let address = peer.map(|peer| edge.client_address.find(peer, request.headers()));
    if edge.denies(address) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let places = if request.method() == Method::PUT { uploads } else { downloads };
    let Ok(place) = places.enter(address) else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_SECS)]).into_response();
    };
    let response = next.run(request).await;
    let length = response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    match length.and_then(|length| length.parse().ok()) {
        None | Some(0) => response,
        Some(bytes) => response
            .map(|body| in_time(body.into_data_stream(), transfer_max(bytes), place, &edge.base.tasks)),
    }
}

/// A body with the bytes of `content`, which is let go with its `place` after `longest`. A task reads it, because
/// nobody asks a body for its next bytes while the client takes none.
fn in_time<S, E>(content: S, longest: Duration, place: Place, tasks: &Tasks) -> Body
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    E: Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    tasks.spawn("download", async move {
        let _ = tokio::time::timeout(longest, pass_on(content, sender)).await;
        drop(place);
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async {
        match receiver.recv().await {
            Some(Part::Bytes(bytes)) => Some((Ok(bytes), receiver)),
            Some(Part::End) => None,
            // Neither complete nor to be taken for it.
            None => Some((Err(Interrupted), receiver)),
        }
    }))
}

/// What the reader of an object passes on.
enum Part {
    Bytes(Bytes),
    End,
}

async fn pass_on<S, E>(mut content: S, sender: mpsc::Sender<Part>)
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    while let Some(read) = content.next().await {
        let Ok(bytes) = read else { return };
        if sender.send(Part::Bytes(bytes)).await.is_err() {
            return;
        }
    }
    // Whoever has gone does not miss it.
    let _ = sender.send(Part::End).await;
}

/// A download took too long, or could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the transfer was interrupted")]
struct Interrupted;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(40);

    fn body(shed: &Shed, parts: Vec<Result<Bytes, ()>>, tasks: &Tasks) -> Body {
        in_time(stream::iter(parts), LONGEST, shed.enter(None).unwrap(), tasks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_gives_its_place_back() {
        let (shed, tasks) = (Shed::new(1, 1), Tasks::default());
        let parts = vec![Ok(Bytes::from_static(b"part")); 8];
        let untaken = body(&shed, parts, &tasks);
        tokio::time::sleep(LONGEST / 2).await;
        assert!(shed.enter(None).is_err(), "there is time left");
        tokio::time::sleep(LONGEST).await;
        assert!(shed.enter(None).is_ok());
        assert!(untaken.collect().await.is_err(), "what was cut off is not taken for the whole");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_arrives_whole_or_fails() {
        let (shed, tasks) = (Shed::new(1, 1), Tasks::default());
        let parts = vec![Ok(Bytes::from_static(b"part")); 8];
        let whole = body(&shed, parts.clone(), &tasks).collect().await.unwrap().to_bytes();
        assert_eq!(whole, "part".repeat(8));
        while shed.enter(None).is_err() {
            tokio::task::yield_now().await;
        }
        let torn = [parts, vec![Err(())]].concat();
        assert!(body(&shed, torn, &tasks).collect().await.is_err());
    }
}
