//! The program: parses the command line and calls [`clinicd::cli`].

/// A request makes many small allocations on many threads. The system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the program waits at its end for threads that still block, such as a private cluster that does not stop.
const BLOCKED: std::time::Duration = std::time::Duration::from_secs(1);

fn main() -> std::process::ExitCode {
    // A `.env` file in the working folder adds to the environment. Variables that are already set take precedence.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("clinicd: .env: {error}");
        return std::process::ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("clinicd: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(clinicd::cli::run());
    runtime.shutdown_timeout(BLOCKED);
    code
}
