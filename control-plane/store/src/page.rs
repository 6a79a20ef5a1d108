/// One page of a list, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass as `after` for the next page; `None` = this was the last one.
    pub next: Option<i64>,
}

/// No page is longer, whatever was asked for.
pub const MAX_PAGE: u32 = 1_000;

impl<T> Page<T> {
    /// Reads one row more than `limit`, so that the last page knows that it is the last.
    pub(crate) fn of(mut rows: Vec<(i64, T)>, limit: u32) -> Self {
        let limit = usize::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|(seq, _)| *seq) } else { None };
        Self { items: rows.into_iter().map(|(_, item)| item).collect(), next }
    }

    /// The row limit and the exclusive upper bound that go into the query.
    pub(crate) fn bounds(after: Option<i64>, limit: u32) -> (i64, i64) {
        (after.unwrap_or(i64::MAX), i64::from(limit.clamp(1, MAX_PAGE)) + 1)
    }

    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}
