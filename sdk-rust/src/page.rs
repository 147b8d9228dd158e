//! Lists come in pages.

use std::future::Future;

use futures::{Stream, TryStreamExt as _, stream};

use crate::{error::Result, wire};

/// The most pages of a list that are asked for: many times what any list has. A server could lead on for ever.
const PAGES_MAX: u32 = 10_000;

/// Where a list continues. Opaque, and good only for the list that it came from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct PageToken(String);

impl PageToken {
    /// A token that was kept as text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token as text. It is no secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which page of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Items wanted; 0 leaves it to the server. What the server allows at most is up to the list.
    pub size: u32,
    /// Where the page before ended; `None` for the first.
    pub token: Option<PageToken>,
}

impl PageRequest {
    /// The first page, of as many items as the server likes to send.
    pub fn first() -> Self {
        Self::default()
    }

    pub(crate) fn into_token(self) -> String {
        self.token.map(|token| token.0).unwrap_or_default()
    }
}

/// A part of a list.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Page<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Continues the list; `None` at its end.
    pub next: Option<PageToken>,
}

impl<T> Page<T> {
    pub(crate) fn new<W>(items: Vec<W>, next: String, convert: impl FnMut(W) -> Result<T>) -> Result<Self> {
        let items = items.into_iter().map(convert).collect::<Result<_>>()?;
        Ok(Self { items, next: (!next.is_empty()).then_some(PageToken(next)) })
    }
}

/// All items of a list. `fetch` gets one page; the next is asked for when the items before it were taken.
///
/// # Errors
///
/// `UpgradeRequired` in place of an end if the list has not ended after 10,000 pages.
pub fn stream<T, F, Fut>(fetch: F) -> impl Stream<Item = Result<T>>
where
    F: FnMut(PageRequest) -> Fut,
    Fut: Future<Output = Result<Page<T>>>,
{
    let start = (fetch, Some(PageRequest::first()), 0);
    stream::try_unfold(start, |(mut fetch, request, pages)| async move {
        let Some(request) = request else { return Ok(None) };
        if pages == PAGES_MAX {
            return Err(wire::broken());
        }
        let size = request.size;
        let page = fetch(request).await?;
        let next = page.next.map(|token| PageRequest { size, token: Some(token) });
        Ok(Some((stream::iter(page.items.into_iter().map(Ok)), (fetch, next, pages + 1))))
    })
    .try_flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn a_list_without_an_end_is_given_up() {
        let mut asked = 0;
        let endless = stream(|_| {
            asked += 1;
            let page = Page { items: vec![asked], next: Some(PageToken::new(asked.to_string())) };
            std::future::ready(Ok(page))
        });
        let all: Result<Vec<u32>> = endless.try_collect().await;
        assert_eq!(*all.unwrap_err().kind(), ErrorKind::UpgradeRequired);
        assert_eq!(asked, PAGES_MAX);
    }
}
