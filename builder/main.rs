//! The command line program: everything is in `cli/`.

fn main() -> std::process::ExitCode {
    boxwright::cli::run(std::env::args_os())
}
