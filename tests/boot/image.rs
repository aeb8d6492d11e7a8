//! An image, read by programs that know nothing of Boxwright.

use boxwright::disk::{self, Role};
use boxwright::tool::Tool;

use crate::harness::Bench;

#[test]
fn strangers_find_nothing_wrong_with_an_image() {
    let Some(bench) = Bench::new() else { return };
    let image = disk::read(bench.image()).unwrap();
    let tools = bench.tools();
    let cut = |role: Role, name: &str| {
        let partition = image.layout.find(role).unwrap();
        let target = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut source = std::fs::File::open(bench.image()).unwrap();
        std::io::Seek::seek(&mut source, std::io::SeekFrom::Start(partition.start)).unwrap();
        let mut part = std::io::Read::take(source, partition.length);
        std::io::copy(&mut part, &mut target.as_file()).unwrap_or_else(|error| panic!("{name}: {error}"));
        target
    };

    let esp = cut(Role::Esp, "esp");
    tools.tool("fsck.vfat").unwrap().arg("-n").arg(esp.path()).run().unwrap();
    let listing =
        tools.tool("mdir").unwrap().args(["-b", "-/", "-i"]).arg(esp.path()).arg("::").output().unwrap();
    let listing = String::from_utf8(listing).unwrap();
    for file in ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "loader/loader.conf"] {
        assert!(listing.contains(file), "{file} is not in\n{listing}");
    }
    let entries: Vec<&str> =
        listing.lines().filter(|line| line.contains("loader/entries/") && line.contains(".conf")).collect();
    assert_eq!(entries.len(), 1, "{listing}");
    let entry =
        tools.tool("mtype").unwrap().arg("-i").arg(esp.path()).arg(entries[0].trim()).output().unwrap();
    let entry = String::from_utf8(entry).unwrap();

    for role in [Role::Base, Role::Profile] {
        let layer = cut(role, role.word());
        let mark = format!("boxwright.{}=", role.word());
        let hash = entry.split_whitespace().find_map(|word| word.strip_prefix(&mark)).unwrap();
        let mut used = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(layer.as_file(), &mut used, 40).unwrap();
        let offset = u64::from_le_bytes(used).next_multiple_of(4096);
        let verity = tools.tool("veritysetup").unwrap().arg("verify").arg(format!("--hash-offset={offset}"));
        verity.arg(layer.path()).arg(layer.path()).arg(hash).run().unwrap();
        tools.tool("unsquashfs").unwrap().arg("-s").arg(layer.path()).run().unwrap();
        let guid = hex::encode(image.layout.find(role).unwrap().guid);
        assert!(hash.starts_with(&guid), "{hash} {guid}");
    }

    // gdisk is not among the tools: a second opinion where the host has it.
    let sgdisk = std::path::Path::new("/usr/sbin/sgdisk");
    if sgdisk.exists() {
        let said = Tool::new(sgdisk).arg("--verify").arg(bench.image()).output().unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("No problems found"), "{said}");
    }
}
