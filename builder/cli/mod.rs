//! The command line: arguments in, exit code out, one short file a verb.
//!
//! Standard output carries data only; all else goes to standard error. Exit codes: 0 done, 1 the input is wrong, 2
//! anything else. No verb does work of its own: each calls the stages and prints what came out.

mod args;
mod boot;
mod build;
mod cache;
mod check;
mod diff;
mod disks;
mod flash;
mod graph;
mod import;
mod inspect;
mod lock;
mod made_from;
mod mirror;
mod network;
mod new;
mod output;
mod profile;
mod prompt;
mod recipe;
mod recovery_sheet;
mod rehearse;
mod render;
mod rotate;
mod schema;
mod sealing;
mod secrets;
mod sign;
mod subject;
mod surroundings;
mod terminal;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

pub use args::{
    Boot, Build, Check, Cli, Colour, Flash, Global, Import, Inspect, Lock, New, RecoverySheet, Rehearse,
    Render, Rotate, Sbom, Secrets, SecretsCheck, SecretsDecrypt, SecretsEncrypt, SecretsVerb, Until, Verb,
};
pub use cache::{Cache, CacheVerb, Prune};
pub use mirror::Mirror;
use output::{Output, Rejected, StdoutClosed};
pub use sign::Sign;
pub use verify::Verify;

use crate::diag::InputError;
use crate::ui::Ui;

/// Runs the program with the arguments of the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that is gone has seen enough of the help.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let session = Session { ui: surroundings::ui(&cli.global), out: Output::new(), global: cli.global };
    let result = crate::interrupt::install().and_then(|()| session.verb(&cli.verb));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => session.fail(&error),
    }
}

/// What every verb has at hand.
struct Session {
    ui: Ui,
    out: Output,
    global: Global,
}

impl Session {
    fn verb(&self, verb: &Verb) -> anyhow::Result<()> {
        match verb {
            Verb::New(arguments) => new::run(self, arguments),
            Verb::Import(arguments) => import::run(self, arguments),
            Verb::Check(arguments) => check::run(self, arguments),
            Verb::Schema => schema::run(self),
            Verb::Secrets(arguments) => secrets::run(self, arguments),
            Verb::Rotate(arguments) => rotate::run(self, arguments),
            Verb::Graph(arguments) => graph::run(self, arguments),
            Verb::Lock(arguments) => lock::run(self, arguments),
            Verb::Render(arguments) => render::run(self, arguments),
            Verb::Build(arguments) => build::run(self, arguments),
            Verb::Sign(arguments) => sign::run(self, arguments),
            Verb::Flash(arguments) => flash::run(self, arguments),
            Verb::Inspect(arguments) => inspect::run(self, arguments),
            Verb::Diff(arguments) => diff::run(self, arguments),
            Verb::Boot(arguments) => boot::run(self, arguments),
            Verb::Rehearse(arguments) => rehearse::run(self, arguments),
            Verb::Mirror(arguments) => mirror::run(self, arguments),
            Verb::Verify(arguments) => verify::run(self, arguments),
            Verb::Cache(arguments) => cache::run(self, arguments),
        }
    }

    /// Says why a run failed; returns its exit code.
    fn fail(&self, error: &anyhow::Error) -> ExitCode {
        if error.is::<StdoutClosed>() {
            return ExitCode::SUCCESS;
        }
        // Its findings have been shown already.
        if error.is::<Rejected>() {
            return ExitCode::from(1);
        }
        // Ctrl-C on a terminal goes to every program of the run; what one of them said as it died is of no interest.
        if let Err(interrupted) = crate::interrupt::check() {
            output::error(&interrupted.to_string(), self.ui.colour());
            return ExitCode::from(2);
        }
        let text = format!("{error:#}");
        output::error(&format!("{text}{}", advice(&text)), self.ui.colour());
        let wrong_input = error.chain().any(|cause| cause.is::<InputError>());
        ExitCode::from(if wrong_input { 1 } else { 2 })
    }
}

/// What to do about an error of the disk, which may come from any program of a run.
fn advice(text: &str) -> &'static str {
    if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
        "\nfree some space there, or name folders on another disk with --cache and --out; then run the same command again"
    } else if text.contains("Read-only file system") {
        "\nname folders that can be written with --cache and --out"
    } else {
        ""
    }
}
