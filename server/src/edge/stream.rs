//! Answers that are streams, and the end of the server.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use crate::base::{clock, error::Reason, status};

/// How long a stream may take to end by itself once the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// Has the answer's stream end with `UNAVAILABLE` if it goes on for a while after `stopping`.
pub(super) fn until(stopping: CancellationToken, response: Response<Body>) -> Response<Body> {
    let late = async move {
        stopping.cancelled().await;
        clock::sleep(GRACE).await;
    };
    response.map(|body| Body::new(Until { body, late: Some(Box::pin(late)) }))
}

struct Until {
    body: Body,
    late: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(late) = &mut self.late else { return Poll::Ready(None) };
        if late.as_mut().poll(context).is_ready() {
            self.late = None;
            let mut trailers = http::HeaderMap::new();
            let unavailable = status::rule(Reason::Unavailable);
            trailers.insert("grpc-status", (unavailable.code as i32).into());
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}
