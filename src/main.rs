//! The program: parses the command line and calls [`clinicd::cli`].

/// Requests are many small allocations on many threads, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    // A `.env` file in the working folder counts as environment; what is set already goes first.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("clinicd: .env: {error}");
        return std::process::ExitCode::from(2);
    }
    clinicd::cli::run().await
}
