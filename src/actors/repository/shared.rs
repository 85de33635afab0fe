//! What was read once for all who asked for it at the same time.

use std::sync::OnceLock;

use bytes::Bytes;

/// Rows that several callers share, and what they look like once one of them has written them.
pub struct Shared<T> {
    rows: Vec<T>,
    shown: OnceLock<Bytes>,
}

impl<T> Shared<T> {
    /// The rows.
    pub fn all(&self) -> &[T] {
        &self.rows
    }

    /// The rows as the first caller writes them. All callers must write the same.
    pub fn shown(&self, write: impl FnOnce(&[T]) -> Bytes) -> Bytes {
        self.shown.get_or_init(|| write(&self.rows)).clone()
    }
}

impl<T> From<Vec<T>> for Shared<T> {
    fn from(rows: Vec<T>) -> Self {
        Self { rows, shown: OnceLock::new() }
    }
}
