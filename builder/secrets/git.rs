//! Whether git keeps a file: what is committed once is in every copy of the repository for good.

use std::path::Path;

use crate::tool::Tool;

/// Whether git tracks the file at `path`, which need not be there. False where there is no git, or no repository around it.
pub fn tracks(path: &Path) -> bool {
    // A link leads to where the content is.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(name) = path.file_name() else { return false };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Tool::new("git")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        // Under sudo the repository is another user's. It is only looked at, and may start nothing.
        .args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "--literal-pathspecs", "-C"])
        .arg(folder)
        .args(["ls-files", "--error-unmatch", "--"])
        .arg(name)
        .output()
        .is_ok()
}
