//! clinicd: a clinic backend for many clinics at once.
//!
//! The program has layers, and a feature has the same file name in each layer. A test reads the `use crate::` lines and
//! enforces which layer may use which:
//!
//! | module | may use |
//! | --- | --- |
//! | [`api`] | `authn`, `authz`, `actors`, `domain` |
//! | [`authn`], [`authz`] | `actors`, `domain` |
//! | [`actors`] | `repository`, `domain` |
//! | [`repository`] | `domain` |
//! | [`domain`] | no other module |
//!
//! Only [`app`], [`cli`] and [`demo`] may use all modules. `docs/ARCHITECTURE.md` describes the whole program.
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
