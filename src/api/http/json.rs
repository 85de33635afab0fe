//! Rows as JSON. Each row is serialized once, without an intermediate tree of values.

use std::marker::PhantomData;

use bytes::Bytes;
use chrono::{DateTime, Datelike, Timelike, Utc};
use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};

/// A row that a response shows.
pub trait Row: ToJSON {
    /// Writes the row as JSON.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_json_string().as_bytes());
    }
}

/// Writes a row by serde, which is faster than the framework. A test beside each such view checks that the JSON is the
/// same.
pub fn by_serde(row: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, row);
}

/// Writes an instant in the framework's format (RFC 3339). A list has hundreds of instants, and chrono's formatter is
/// slow.
pub fn instant<S: serde::Serializer>(at: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    let (year, nanos) = (at.year(), at.nanosecond());
    // Rows have at most microseconds.
    if !(0..=9999).contains(&year) || nanos % 1000 != 0 || nanos >= 1_000_000_000 {
        return to.serialize_str(&at.to_rfc3339());
    }
    let mut text = *b"0000-00-00T00:00:00.000000+00:00";
    let mut put = |range: std::ops::Range<usize>, mut value: u32| {
        for digit in text[range].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(0..4, year.unsigned_abs());
    put(5..7, at.month());
    put(8..10, at.day());
    put(11..13, at.hour());
    put(14..16, at.minute());
    put(17..19, at.second());
    let end = match nanos / 1000 {
        0 => 19,
        micros if micros % 1000 == 0 => {
            put(20..23, micros / 1000);
            23
        }
        micros => {
            put(20..26, micros);
            26
        }
    };
    text[end..end + 6].copy_from_slice(b"+00:00");
    to.serialize_str(std::str::from_utf8(&text[..end + 6]).unwrap_or_default())
}

/// Writes a text that has a format, as the framework does.
pub fn text<T: std::ops::Deref<Target = String>, S: serde::Serializer>(
    text: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => to.serialize_some(text.as_str()),
        None => to.serialize_none(),
    }
}

/// One serialized row.
pub struct One<T>(Vec<u8>, PhantomData<fn() -> T>);

impl<T: Row> One<T> {
    /// Serializes a row.
    pub fn of(row: impl Into<T>) -> Self {
        let mut out = Vec::with_capacity(600);
        row.into().write(&mut out);
        Self(out, PhantomData)
    }

    /// Returns the JSON.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The serialized rows of a list.
#[derive(Clone)]
pub struct Rows<T>(Bytes, PhantomData<fn() -> T>);

impl<T: Row> Rows<T> {
    /// Serializes rows in their order.
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
    /// Wraps rows that are already serialized.
    pub fn written(rows: Bytes) -> Self {
        Self(rows, PhantomData)
    }

    /// Returns the JSON.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Implements the framework's traits for a type that is already serialized.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(serde::Serialize)]
    struct At(#[serde(serialize_with = "instant")] DateTime<Utc>);

    proptest! {
        #[test]
        fn instants_are_written_as_chrono_writes_them(
            seconds in -70_000_000_000_i64..260_000_000_000,
            nanos in prop_oneof![
                Just(0u32), (0..1000u32).prop_map(|n| n * 1_000_000), (0..1_000_000u32).prop_map(|n| n * 1000),
                0..1_000_000_000u32,
            ],
        ) {
            let at = DateTime::from_timestamp(seconds, nanos).expect("an instant");
            prop_assert_eq!(serde_json::to_value(At(at)).expect("a text"), at.to_rfc3339());
        }
    }
}
