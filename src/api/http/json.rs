//! Rows as JSON that is written once, without a tree of values in between.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};

/// A row that an answer shows.
pub trait Row: ToJSON {
    /// Writes the row as JSON.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_json_string().as_bytes());
    }
}

/// Writes a row by serde, which is faster than the framework; a test beside each such view holds it to the same JSON.
pub fn by_serde(row: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, row);
}

/// An instant as the framework writes it.
pub fn instant<S: serde::Serializer>(at: &chrono::DateTime<chrono::Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&at.to_rfc3339())
}

/// A text with a format as the framework writes it.
pub fn text<T: std::ops::Deref<Target = String>, S: serde::Serializer>(
    text: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => to.serialize_some(text.as_str()),
        None => to.serialize_none(),
    }
}

/// One row, written.
pub struct One<T>(Vec<u8>, PhantomData<fn() -> T>);

impl<T: Row> One<T> {
    /// Writes a row.
    pub fn of(row: impl Into<T>) -> Self {
        let mut out = Vec::with_capacity(600);
        row.into().write(&mut out);
        Self(out, PhantomData)
    }

    /// As it was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A list's rows, written.
#[derive(Clone)]
pub struct Rows<T>(Bytes, PhantomData<fn() -> T>);

impl<T: Row> Rows<T> {
    /// Writes rows, in their order.
    pub fn of(rows: impl ExactSizeIterator<Item = T>) -> Self {
        let mut out = Vec::with_capacity(2 + 400 * rows.len());
        out.push(b'[');
        for (n, row) in rows.enumerate() {
            if n > 0 {
                out.push(b',');
            }
            row.write(&mut out);
        }
        out.push(b']');
        Self::written(out.into())
    }
}

impl<T> Rows<T> {
    /// Rows that were written before.
    pub fn written(rows: Bytes) -> Self {
        Self(rows, PhantomData)
    }

    /// As they were written.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// JSON that was written before.
macro_rules! json {
    ($payload:ident, $shown:ty) => {
        impl<T: Type> Payload for $payload<T> {
            const CONTENT_TYPE: &'static str = "application/json; charset=utf-8";

            fn schema_ref() -> MetaSchemaRef {
                <$shown>::schema_ref()
            }

            fn register(registry: &mut Registry) {
                <$shown>::register(registry);
            }
        }

        impl<T: Type> IntoResponse for $payload<T> {
            fn into_response(self) -> Response {
                Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
            }
        }
    };
}

json!(One, T);
json!(Rows, Vec<T>);

#[cfg(test)]
pub fn assert_written_alike(row: &impl Row) {
    let mut out = Vec::new();
    row.write(&mut out);
    let written: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(Some(&written), row.to_json().as_ref());
    assert_eq!(written.to_string(), row.to_json_string(), "in the same order");
}
