//! Rows that were read once for several callers.

use std::sync::OnceLock;

use bytes::Bytes;

/// Rows shared by several callers, with their rendered form once a caller has rendered them.
pub struct Shared<T> {
    rows: Vec<T>,
    shown: OnceLock<Bytes>,
}

impl<T> Shared<T> {
    /// Returns the rows.
    pub fn all(&self) -> &[T] {
        &self.rows
    }

    /// Returns the rows as the first caller rendered them. All callers must render them the same way.
    pub fn shown(&self, write: impl FnOnce(&[T]) -> Bytes) -> Bytes {
        self.shown.get_or_init(|| write(&self.rows)).clone()
    }
}

impl<T> From<Vec<T>> for Shared<T> {
    fn from(rows: Vec<T>) -> Self {
        Self { rows, shown: OnceLock::new() }
    }
}
