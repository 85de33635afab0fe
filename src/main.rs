//! The program: parses the command line and calls [`clinicd::cli`].

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
