//! clinicd: a clinic backend for many clinics at once.
//!
//! Layers, each with the same file name for the same feature, so that a feature is found by its name and
//! the flow by the folders. Who may use whom (a test reads the `use crate::` lines and holds it):
//!
//! | module | may use |
//! | --- | --- |
//! | [`api`] | `authn`, `authz`, `actors`, `domain` |
//! | [`authn`], [`authz`] | `actors`, `domain` |
//! | [`actors`] | `repository`, `domain` |
//! | [`repository`] | `domain` |
//! | [`domain`] | nothing of ours |
//!
//! Only [`app`], [`cli`] and [`demo`] see all. `docs/ARCHITECTURE.md` tells the whole on a page.
#![warn(missing_docs)]

pub mod actors;
pub mod api;
pub mod app;
pub mod authn;
pub mod authz;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod postgres;
pub mod repository;
pub mod telemetry;
