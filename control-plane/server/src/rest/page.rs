//! Lists in pages: `{data, has_more, next_cursor}` with opaque signed cursors.

use super::problem::Problem;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use utoipa::ToSchema;

pub const MAX_LIMIT: u32 = 100;
const DEFAULT_LIMIT: u32 = 25;
const TAG_LEN: usize = 16;

/// One page of a list.
#[derive(serde::Serialize, ToSchema)]
pub struct List<T> {
    pub data: Vec<T>,
    pub has_more: bool,
    /// Send it as `cursor` to get the next page; null on the last one.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> List<U> {
        List {
            data: self.data.into_iter().map(f).collect(),
            has_more: self.has_more,
            next_cursor: self.next_cursor,
        }
    }
}

/// Signs cursors, so that nobody can move a cursor to another list or tenant or make one up.
pub struct CursorKey(hmac::Key);

impl CursorKey {
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// `scope` names the list, its owner and its filters; a cursor is good for its scope alone.
    pub fn seal(&self, scope: &str, after: i64) -> String {
        let mut bytes = after.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.tag(scope, after));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn open(&self, scope: &str, cursor: &str) -> Result<i64, Problem> {
        let refuse = || Problem::bad_request("invalid_cursor", "The cursor is not one this list handed out.");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refuse())?;
        let (after, tag) = bytes.split_first_chunk::<8>().ok_or_else(refuse)?;
        let after = i64::from_be_bytes(*after);
        constant_time::verify_slices_are_equal(tag, &self.tag(scope, after)).map_err(|_| refuse())?;
        Ok(after)
    }

    fn tag(&self, scope: &str, after: i64) -> [u8; TAG_LEN] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&after.to_be_bytes());
        context.update(scope.as_bytes());
        let mut short = [0; TAG_LEN];
        short.copy_from_slice(&context.sign().as_ref()[..TAG_LEN]);
        short
    }
}

/// Where a page starts and how long it is.
pub struct Slice<'a> {
    key: &'a CursorKey,
    scope: String,
    pub after: Option<i64>,
    pub limit: u32,
}

impl<'a> Slice<'a> {
    pub fn open(
        key: &'a CursorKey,
        scope: String,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::bad_request("invalid_query", format!("limit must be 1 to {MAX_LIMIT}.")));
        }
        let after = cursor.map(|cursor| key.open(&scope, cursor)).transpose()?;
        Ok(Self { key, scope, after, limit })
    }

    /// For a list whose cursor counts the rows before the page.
    pub fn skip(&self) -> i64 {
        self.after.unwrap_or(0)
    }

    /// The page of such a list, from its rows from [`Self::skip`] on and at least one beyond it, if there is.
    pub fn skipped<T>(&self, mut rows: Vec<T>) -> List<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        self.list(rows, more.then(|| self.skip().saturating_add(i64::from(self.limit))))
    }

    /// For where the next page starts.
    pub fn cursor(&self, after: i64) -> String {
        self.key.seal(&self.scope, after)
    }

    pub fn list<T>(&self, data: Vec<T>, next: Option<i64>) -> List<T> {
        let next_cursor = next.map(|after| self.cursor(after));
        List { data, has_more: next_cursor.is_some(), next_cursor }
    }
}

/// A list that always fits one page.
pub fn whole<T>(data: Vec<T>) -> List<T> {
    List { data, has_more: false, next_cursor: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_scope_alone() {
        let key = CursorKey::new(&[7; 32]);
        let cursor = key.seal("tnt_1 links", 42);
        assert_eq!(key.open("tnt_1 links", &cursor).unwrap(), 42);
        assert!(key.open("tnt_2 links", &cursor).is_err());
        assert!(key.open("tnt_1 offers", &cursor).is_err());
        for forged in ["", "AAAA", "42", "%%%", &key.seal("x", 1)[..10], &format!("{cursor}A")] {
            assert!(key.open("tnt_1 links", forged).is_err(), "{forged}");
        }
        let flipped = format!("B{}", &cursor[1..]);
        assert!(key.open("tnt_1 links", &flipped).is_err());
    }
}
