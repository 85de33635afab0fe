//! HTTP: what all operations have in common, independent of their resource.

pub mod body;
pub mod cors;
pub mod etag;
pub mod idempotency;
pub mod json;
pub mod kinds;
pub mod negotiation;
pub mod outside;
pub mod page;
pub mod parameter;
pub mod problem;
pub mod request_id;
