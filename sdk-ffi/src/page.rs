//! Lists come in pages.

use hivesync::page::{Page, PageRequest, PageToken};

/// The page of `size` items that a token continues with; the first without a token.
pub(crate) fn request(size: u32, token: Option<String>) -> PageRequest {
    PageRequest { size, token: token.map(PageToken::new) }
}

/// The items of a page, and what continues its list.
pub(crate) fn split<W, T: From<W>>(page: Page<W>) -> (Vec<T>, Option<String>) {
    let next = page.next.map(|token| token.as_str().to_owned());
    (page.items.into_iter().map(T::from).collect(), next)
}
