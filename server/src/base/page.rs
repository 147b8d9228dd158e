//! Pages: bounded lists, continued by a token that only this list, for this caller, accepts.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    crypto::{self, Purpose},
    ctx::Ctx,
    error::{Error, Reason, Result},
};

/// Items of a page if the caller does not say.
pub const SIZE_DEFAULT: u32 = 50;
/// The most items of a page, unless a list says otherwise.
pub const SIZE_MAX: u32 = 200;
/// Bytes of the authenticator in a token.
const TAG_LEN: usize = 16;

/// A page wanted.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The most items wanted, at least 1.
    pub size: u64,
    token: String,
}

impl PageRequest {
    /// From the fields `page_size` and `page_token` of a request; a size of 0 means [`SIZE_DEFAULT`].
    #[must_use]
    pub fn new(page_size: u32, page_token: String) -> Self {
        Self::with_sizes(page_size, page_token, SIZE_DEFAULT, SIZE_MAX)
    }

    /// The same with other sizes.
    #[must_use]
    pub fn with_sizes(page_size: u32, token: String, size_default: u32, size_max: u32) -> Self {
        let size = if page_size == 0 { size_default } else { page_size.min(size_max) };
        Self { size: u64::from(size), token }
    }

    /// The key of the last item that the caller has seen, or none for the first page.
    ///
    /// `scope` names the list with everything that selects its items, such as `projects:<team>`.
    ///
    /// # Errors
    /// `INVALID_PAGE_TOKEN` if the token was made for another list or caller, or by somebody else.
    pub fn after(&self, ctx: &Ctx, scope: &str) -> Result<Option<Vec<u8>>> {
        if self.token.is_empty() {
            return Ok(None);
        }
        let invalid = || Error::new(Reason::InvalidPageToken);
        let bytes = URL_SAFE_NO_PAD.decode(&self.token).map_err(|_| invalid())?;
        let (tag, key) = bytes.split_at_checked(TAG_LEN).ok_or_else(invalid)?;
        if !crypto::equal(tag, &authenticate(ctx, scope, key)?) {
            return Err(invalid());
        }
        Ok(Some(key.to_vec()))
    }
}

/// A page of items.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Continues the list; empty at its end.
    pub next: String,
}

impl<T> Page<T> {
    /// Cuts `items`, of which one more than wanted was read, down to the page, and makes the token that
    /// continues after the last of them, whose key is `key(last)`.
    ///
    /// # Errors
    /// `INTERNAL` if the token's key cannot be derived.
    pub fn cut(
        ctx: &Ctx,
        scope: &str,
        request: &PageRequest,
        mut items: Vec<T>,
        key: impl FnOnce(&T) -> Vec<u8>,
    ) -> Result<Self> {
        let size = usize::try_from(request.size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next = match items.last() {
            Some(last) if more => token(ctx, scope, &key(last))?,
            _ => String::new(),
        };
        Ok(Self { items, next })
    }

    /// The same page of other items.
    #[must_use]
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// The token that continues the list `scope` after the item whose key is `key`: for lists that know where
/// they end without reading one item more.
///
/// # Errors
/// `INTERNAL` if the token's key cannot be derived.
pub fn token(ctx: &Ctx, scope: &str, key: &[u8]) -> Result<String> {
    let mut bytes = authenticate(ctx, scope, key)?.to_vec();
    bytes.extend_from_slice(key);
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn authenticate(ctx: &Ctx, scope: &str, key: &[u8]) -> Result<[u8; TAG_LEN]> {
    let caller = ctx.actor.user().map(|user| user.id.to_string()).unwrap_or_default();
    let mut message = Vec::with_capacity(128);
    for part in [scope.as_bytes(), caller.as_bytes(), key] {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part);
    }
    let mac = ctx.keys.mac(Purpose::PageToken, &message)?;
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&mac[..TAG_LEN]);
    Ok(tag)
}
