//! The command line: what can be typed, and what it means. Parsing never acts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::secrets::Restore;

/// Builds the disk image of a home server from one short profile.
#[derive(Debug, Parser)]
#[command(name = "boxwright", version, max_term_width = 80, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, after_help = "Begin with: boxwright new mybox")]
pub struct Cli {
    /// What applies to every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What applies to every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Say nothing but warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print what a program reads
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour; NO_COLOR is heeded
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Colour,
    /// The folder with overlays/ and firmware/
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Where downloads and results are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// The package mirror to ask first
    #[arg(long, global = true, value_name = "URL")]
    pub mirror: Option<String>,
    /// The registry to ask in place of all, also on the box
    #[arg(long, global = true, value_name = "HOST")]
    pub registry_mirror: Option<String>,
    /// Do not use the network
    #[arg(long, global = true)]
    pub offline: bool,
    /// The private key that opens an encrypted secrets file [default: your own of SSH]
    #[arg(long, global = true, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// The file with the passphrase of it, in place of asking; /dev/fd/3 is one too
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Tell programs that it is so many days later: how `verify --twice` varies the clock
    #[arg(long, global = true, value_name = "DAYS", hide = true, default_value_t = 0)]
    pub days_ahead: u16,
    /// How many threads work at once
    #[arg(long, short, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: Option<u16>,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs, in the order in which one meets them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a profile from an example
    New(New),
    /// Make a service of one's own from a Compose file
    Import(Import),
    /// Say everything that is wrong with a profile, and what it means
    Check(Check),
    /// Print the JSON schema of profiles, for editors
    Schema,
    /// Print a template of the secrets that a box needs, or look after them
    Secrets(Secrets),
    /// Sign new secrets for a box that runs
    Rotate(Rotate),
    /// Draw the box of a profile: an SVG drawing, and a page for a browser
    Graph(Graph),
    /// Choose the exact packages and container images
    Lock(Lock),
    /// Keep what a lock names, to build without a network
    Mirror(super::mirror::Mirror),
    /// Write the files that a profile puts onto the box into a folder
    Render(Render),
    /// Build the disk image
    Build(Build),
    /// Build a disk image again, and say in what it differs
    Verify(super::verify::Verify),
    /// Sign a disk image with an SSH key
    Sign(super::sign::Sign),
    /// Write a disk image to a disk, and read it back
    Flash(Flash),
    /// Say what is in a disk image, or who reaches whom on a box
    Inspect(Inspect),
    /// Say what differs between two profiles, locks or images
    Diff(super::diff::Diff),
    /// Start a disk image in a virtual machine
    Boot(Boot),
    /// Replace the box in a virtual machine, from its real backups, which are only read
    Rehearse(Rehearse),
    /// Look after the cache of downloads and results
    Cache(super::cache::Cache),
}

/// `new`
#[derive(Debug, Args)]
pub struct New {
    /// The box's name; the profile becomes profiles/NAME.toml
    #[arg(required_unless_present = "ci")]
    pub name: Option<String>,
    /// The profile to start from: a name in profiles/, or a file
    #[arg(long, value_name = "PROFILE", default_value = "minimal")]
    pub from: String,
    /// Write what a CI (github, gitlab, shell) needs to build, verify and compare all boxes, in place of a profile
    #[arg(long, value_name = "CI", hide_possible_values = true, conflicts_with_all = ["name", "from"])]
    pub ci: Option<super::recipe::Ci>,
}

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    /// The Compose file; what it mounts from beside itself is copied
    #[arg(value_name = "COMPOSE.yaml")]
    pub file: PathBuf,
    /// The service's name, if it is not that of the file's project or folder
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The folder for the service's folder, if it is not the project's overlays/services
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// The profiles
    #[arg(required = true, value_name = "PROFILE")]
    pub profiles: Vec<PathBuf>,
}

/// `secrets`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true)]
pub struct Secrets {
    /// The profile whose template is printed
    #[arg(required = true)]
    pub profile: Option<PathBuf>,
    /// What else can be done with secrets.
    #[command(subcommand)]
    pub verb: Option<SecretsVerb>,
}

/// The verbs of `secrets`.
#[derive(Debug, Subcommand)]
pub enum SecretsVerb {
    /// Say what is missing, malformed, weak or exposed in a secrets file
    Check(SecretsCheck),
    /// Encrypt a secrets file, so that it may be committed
    Encrypt(SecretsEncrypt),
    /// Write an encrypted secrets file as text again
    Decrypt(SecretsDecrypt),
    /// Print what to keep on paper to bring the box back: it shows secrets
    RecoverySheet(RecoverySheet),
}

/// `secrets check`
#[derive(Debug, Args)]
pub struct SecretsCheck {
    /// The profile
    pub profile: PathBuf,
    /// The secrets, encrypted or not
    #[arg(long, value_name = "FILE")]
    pub secrets: PathBuf,
    /// Try each where it can be tried: tunnels, buckets, the backups' password, mail, tokens
    #[arg(long)]
    pub online: bool,
}

/// `secrets encrypt`
#[derive(Debug, Args)]
pub struct SecretsEncrypt {
    /// The secrets as text
    #[arg(value_name = "FILE")]
    pub secrets: PathBuf,
    /// Encrypt for the SSH keys of the admins in this profile
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<PathBuf>,
    /// Encrypt for this key as well: age1…, or a line of SSH's
    #[arg(long, short, value_name = "KEY")]
    pub recipient: Vec<String>,
    /// Encrypt with a passphrase, which is asked for
    #[arg(long, conflicts_with_all = ["profile", "recipient"])]
    pub passphrase: bool,
    /// The file to write [default: FILE.age]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(long)]
    pub force: bool,
}

/// `secrets decrypt`
#[derive(Debug, Args)]
pub struct SecretsDecrypt {
    /// The encrypted secrets
    #[arg(value_name = "FILE")]
    pub secrets: PathBuf,
    /// The file to write [default: FILE without .age]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(long)]
    pub force: bool,
}

/// `secrets recovery-sheet`
#[derive(Debug, Args)]
pub struct RecoverySheet {
    /// The profile
    pub profile: PathBuf,
    /// The secrets
    #[arg(long, value_name = "FILE")]
    pub secrets: PathBuf,
}

/// `rotate`
#[derive(Debug, Args)]
#[command(after_help = "The box takes the file from a USB stick, or from `box secrets apply`.")]
pub struct Rotate {
    /// The profile
    pub profile: PathBuf,
    /// The secrets; those that the box has already change nothing
    #[arg(long, value_name = "FILE")]
    pub secrets: PathBuf,
    /// Hand over this one alone, and others that are named so
    #[arg(long, value_name = "SECTION/NAME")]
    pub only: Vec<String>,
    /// An admin's key: private, or public if an agent has the private one
    #[arg(long, value_name = "KEY")]
    pub sign_with: Option<PathBuf>,
    /// The file to write, a stick's folder for it, or - for a pipe
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// `graph`
#[derive(Debug, Args)]
pub struct Graph {
    /// The profile
    pub profile: PathBuf,
    /// The folder for NAME.svg and NAME.html
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
}

/// `lock`
#[derive(Debug, Args)]
pub struct Lock {
    /// The profile
    pub profile: PathBuf,
    /// With --update: only these packages, services or container images, or `tools`; all else stays
    #[arg(value_name = "NAME", requires = "update")]
    pub names: Vec<String>,
    /// Take the newest of everything, though there is a lock already
    #[arg(long)]
    pub update: bool,
    /// Say what keeps the lock from being used as it is, and change nothing
    #[arg(long, conflicts_with = "update")]
    pub check: bool,
}

/// `render`
#[derive(Debug, Args)]
pub struct Render {
    /// The profile
    pub profile: PathBuf,
    /// The folder: new, empty, or an earlier result
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// `build`
#[derive(Debug, Args)]
pub struct Build {
    /// The profile
    pub profile: PathBuf,
    /// The folder for the image
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Take everything from this folder, which `mirror` made, and do not use the network
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Put these secrets into the image, which must not be published then
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
    /// Let the box bring its services back from a backup before they start: latest, a snapshot, or a time
    #[arg(long, value_name = "latest|SNAPSHOT|TIME", requires = "secrets")]
    pub restore: Option<Restore>,
    /// Also write NAME.img.zst, of which parts can be read alone, and the block map NAME.img.bmap
    #[arg(long)]
    pub compress: bool,
}

/// `flash`
#[derive(Debug, Args)]
pub struct Flash {
    /// The image: .img, .img.zst or .img.gz; otherwise the one in out/
    pub image: Option<PathBuf>,
    /// The disk, or a file; without it the disks are listed
    #[arg(long, value_name = "DEVICE|FILE")]
    pub to: Option<PathBuf>,
    /// Hand these secrets to the box
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
    /// The box's profile, which says what its secrets are, where it is not profiles/NAME.toml
    #[arg(long, value_name = "PROFILE", requires = "secrets")]
    pub profile: Option<PathBuf>,
    /// Let the box bring its services back from a backup before they start: latest, a snapshot, or a time
    #[arg(long, value_name = "latest|SNAPSHOT|TIME", requires = "secrets")]
    pub restore: Option<Restore>,
    /// Give up the state of the box that is on the disk
    #[arg(long)]
    pub erase_state: bool,
    /// Do not ask: this is the serial number of the disk, or its size in bytes
    #[arg(long, value_name = "SERIAL", requires = "to")]
    pub confirm: Option<String>,
    /// The size of a file, such as 16G
    #[arg(long, value_name = "SIZE", requires = "to", value_parser = super::flash::size)]
    pub size: Option<u64>,
    /// Take an image that has no manifest, or is not what that says
    #[arg(long)]
    pub unverified: bool,
    /// Take only an image that one of these has signed: NAME KEY in each line, as ssh-keygen reads it
    #[arg(long, value_name = "FILE", conflicts_with = "unverified")]
    pub signers: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long, requires = "to")]
    pub dry_run: bool,
}

/// `inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// The image; a profile with --network
    #[arg(value_name = "IMAGE")]
    pub subject: PathBuf,
    /// Say which containers can reach which, what else they reach, and what the box opens
    #[arg(long, conflicts_with_all = ["sbom", "provenance"])]
    pub network: bool,
    /// Print a bill of materials: spdx (2.3) or cyclonedx (1.6)
    #[arg(long, value_name = "spdx|cyclonedx", hide_possible_values = true, conflicts_with = "provenance")]
    pub sbom: Option<Sbom>,
    /// Print what it was made from and by what: an in-toto statement with SLSA's provenance
    #[arg(long)]
    pub provenance: bool,
}

/// The formats of a bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sbom {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    Cyclonedx,
}

/// `boot`
#[derive(Debug, Args)]
pub struct Boot {
    /// The image; it is not changed
    pub image: PathBuf,
    /// Hand these secrets to the box, which only rehearses: no tunnel, VPN, backup or alert
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
    /// Not a rehearsal: this is the box from now on
    #[arg(long, requires = "secrets")]
    pub live: bool,
    /// Let the box bring its services back from a backup before they start: latest, a snapshot, or a time
    #[arg(long, value_name = "latest|SNAPSHOT|TIME", requires = "secrets")]
    pub restore: Option<Restore>,
    /// The box's profile, which says what its secrets are, where it is not profiles/NAME.toml
    #[arg(long, value_name = "PROFILE", requires = "secrets")]
    pub profile: Option<PathBuf>,
    /// Stop once the box is good (it boots), or ready (its services run)
    #[arg(long, value_name = "good|ready", hide_possible_values = true)]
    pub until: Option<Until>,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    pub timeout: u64,
    /// Start with Secure Boot on
    #[arg(long)]
    pub secure_boot: bool,
    /// The machine's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(512..))]
    pub memory: u32,
    /// Attach this file as a further disk
    #[arg(long, value_name = "FILE")]
    pub disk: Vec<PathBuf>,
}

/// `rehearse`
#[derive(Debug, Args)]
pub struct Rehearse {
    /// The profile
    pub profile: PathBuf,
    /// The box's secrets: those of the repository are used, and nothing is written there
    #[arg(long, value_name = "FILE")]
    pub secrets: PathBuf,
    /// Restore a snapshot, or what there was at a time, instead of the latest
    #[arg(long, value_name = "latest|SNAPSHOT|TIME")]
    pub restore: Option<Restore>,
    /// The folder of the image, which is built if it has to be
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 7200)]
    pub timeout: u64,
    /// The size of the machine's disk in GiB; only what is written takes room
    #[arg(long, value_name = "GIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=65536))]
    pub size: u32,
    /// The machine's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(512..))]
    pub memory: u32,
    /// Attach this file as a further disk
    #[arg(long, value_name = "FILE")]
    pub disk: Vec<PathBuf>,
    /// Show the machine's console
    #[arg(long)]
    pub console: bool,
}

/// How far a box has to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// It boots, the network is configured, the firewall is loaded, Docker is up.
    Good,
    /// Its services run as well.
    Ready,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_definitions_are_sound() {
        super::Cli::command().debug_assert();
    }
}
