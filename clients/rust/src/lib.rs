//! A client of clinicd, generated from its contract at compile time.

progenitor::generate_api!(
    spec = "../../openapi/openapi.json",
    interface = Builder,
);
