//! Rules about encryption of what the box writes.

use crate::diag::Finding;

use super::report::{At, Facts, Report};

/// Encryption needs programs of the distribution and a TPM of the machine.
pub(super) fn encryption(facts: &Facts<'_>, report: &mut Report<'_>) {
    if facts.profile.machine.encrypt.is_none() {
        return;
    }
    let at = || At::Value(&["box", "encrypt"]);
    if let Some(distribution) =
        facts.world.distribution.as_ref().filter(|one| !one.system.features.contains_key("encrypt"))
    {
        let message = format!("nobody has tried encryption with {} yet", distribution.title);
        let finding = Finding::error("no-encryption", message);
        report.add(at(), finding.help("remove encrypt, or write distribution = \"debian-13\" in [box]"));
    }
    if let Some(platform) = facts.world.platform.as_ref().filter(|platform| !platform.tpm) {
        let message = format!("a {} has no TPM that could open the disk", platform.title);
        report.add(at(), Finding::error("no-encryption", message).help("remove encrypt"));
    }
    let mut disks = facts.profile.disks.iter().filter_map(|(name, disk)| {
        let network = disk.source().is_some_and(|source| source.is_network());
        (!network).then_some(name.as_str())
    });
    if let Some(first) = disks.next() {
        let names = disks.fold(first.to_owned(), |names, name| format!("{names}, {name}"));
        let message = format!("what is on data disks is not encrypted: {names}");
        let help = "what must not be read by a thief belongs on the box's own disk, where services keep their settings";
        report.add(at(), Finding::note("not-encrypted", message).help(help));
    }
}
