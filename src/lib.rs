//! clinicd
#![warn(missing_docs)]
pub mod domain;
pub mod repository;
pub mod actors;
pub mod authz;
pub mod authn;
pub mod api;
