//! The HTTP API, in three layers: `operations` use `views`, and both use `http`. `tests/layers.rs` enforces this order.

mod context;
mod http;
mod operations;
mod spec;
mod views;

use poem::endpoint::make_sync;
use poem::middleware::{NormalizePath, TrailingSlash};
use poem::web::Html;
use poem::{Endpoint, EndpointExt, IntoResponse, Route, get};
use poem_openapi::{OpenApi, OpenApiService};
use tokio::sync::watch;

pub use context::{Parts, Services};
use http::negotiation::Methods;
use http::problem::Problem;
use http::{cors, outside, problem};
use operations::{
    appointments, auth, clinic, closures, doctors, health, invitations, mappings, patients, schedules, series, slots,
    steps, users, waitlist,
};

fn service() -> OpenApiService<impl OpenApi + use<>, ()> {
    let operations = (
        auth::Auth,
        clinic::ClinicApi,
        users::Users,
        invitations::Invitations,
        patients::Patients,
        doctors::Doctors,
        schedules::DoctorSchedules,
        closures::Closures,
        slots::Slots,
        mappings::Mappings,
        appointments::Appointments,
        steps::AppointmentSteps,
        series::AppointmentSeries,
        waitlist::Waitlist,
        health::Health,
    );
    OpenApiService::new(operations, "clinicd", env!("CARGO_PKG_VERSION"))
        .description(
            "A clinic backend: accounts, patients, doctors, patient–doctor mappings and appointments, for many \
             clinics at once.\n\nLog in with `POST /api/auth/login`, press **Authorize**, and paste the `access` \
             token. Errors are `application/problem+json` (RFC 9457). Lists are newest first; their `Link` header \
             leads to the next page. Single rows have an `ETag`; send it in `If-Match` to change only what you \
             have read.",
        )
        .server("/")
}

/// Returns the contract. It is served, and `openapi/openapi.json` is the same.
///
/// # Errors
/// Fails if the framework's document is not JSON.
pub fn contract() -> Result<String, serde_json::Error> {
    spec::complete(&service().spec())
}

/// Returns the endpoint of the whole program. When `is_last_call` becomes true, open requests are answered without
/// their outcome.
///
/// # Errors
/// Fails if the contract cannot be written.
pub fn endpoint(
    services: Services,
    cors_origins: &[String],
    is_last_call: watch::Receiver<bool>,
) -> Result<impl Endpoint + use<>, serde_json::Error> {
    let operations = service();
    let raw = operations.spec();
    let contract = contract()?;
    // Both pages contain the whole contract and load nothing from another host.
    let swagger = operations
        .swagger_ui_html()
        .replace(&raw, &contract)
        .replace("deepLinking: true,", "deepLinking: true, persistAuthorization: true, tryItOutEnabled: true,");
    let redoc = operations.redoc_html().replace(&raw, &contract);
    let redoc = match (redoc.find("<link href=\"https://fonts"), redoc.find("rel=\"stylesheet\">")) {
        (Some(from), Some(to)) => format!("{}{}", &redoc[..from], &redoc[to + "rel=\"stylesheet\">".len()..]),
        _ => redoc,
    };
    let methods = Methods::of(&contract)?;
    let page = |html: String| make_sync(move |_| Html(html.clone()));
    let metrics = services.metrics;
    let routes = Route::new()
        .nest("/", operations)
        .at("/docs", get(page(swagger)))
        .at("/redoc", get(page(redoc)))
        // Browsers request it with every page.
        .at("/favicon.ico", get(make_sync(|_| include_str!("assets/favicon.svg").with_content_type("image/svg+xml"))))
        .at("/openapi.json", get(make_sync(move |_| contract.clone().with_content_type("application/json"))))
        .at(
            "/problems/:name",
            get(make_sync(|request: poem::Request| {
                let page = request.raw_path_param("name").and_then(spec::problem_page);
                page.map_or_else(
                    || Problem::new(problem::NOT_FOUND, "There is no such kind of problem.").into_response(),
                    |page| page.with_content_type("text/plain; charset=utf-8").into_response(),
                )
            })),
        )
        .at("/metrics", get(make_sync(move |_| metrics().with_content_type("text/plain; version=0.0.4"))))
        .data(services)
        .with(NormalizePath::new(TrailingSlash::Trim));
    let routes = outside::Outermost::new(routes, methods, is_last_call);
    Ok(cors::Cors::new(routes, cors_origins))
}
