//! Logs (text on a terminal, JSON elsewhere) and metrics in Prometheus' text format.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error.
///
/// # Errors
/// Fails if the filter is invalid or logging has already been started.
pub fn start(filter: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("CLINICD_LOG is not a tracing filter such as info or clinicd=debug: {error}"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).try_init()
    }
}

/// The interval at which recorded values are summed up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Returns the recorder of this process, or `None` if another one was installed before.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().ok()).as_ref()
}

/// Records metrics until the program ends.
pub async fn record() {
    let Some(recorder) = recorder() else { return };
    let mut upkeep = tokio::time::interval(UPKEEP);
    loop {
        upkeep.tick().await;
        recorder.run_upkeep();
    }
}

/// Returns the recorded metrics in Prometheus' text format.
pub fn metrics() -> String {
    recorder().map(PrometheusHandle::render).unwrap_or_default()
}
