//! A client of clinicd, generated from its contract as this crate is compiled.

progenitor::generate_api!(
    spec = "../../openapi/openapi.json",
    interface = Builder,
);
