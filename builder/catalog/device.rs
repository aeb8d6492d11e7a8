//! Devices that no container may have: whoever writes to one of them has the box.

/// Beginnings of the names of disks below /dev/, of what is made of disks, and of the chip that opens encrypted ones.
const DISKS: [&str; 20] = [
    "bcache", "bsg", "dm-", "drbd", "loop", "md", "mmcblk", "mtd", "nbd", "nvme", "pmem", "ram", "rbd", "sd",
    "sg", "tpm", "vd", "xvd", "zd", "zram",
];
/// Names of devices and of folders below /dev/: other names of disks, memory, the kernel's log, processors' registers.
const NAMES: [&str; 13] =
    ["block", "char", "cpu", "disk", "fd", "kmem", "kmsg", "mapper", "mem", "nvram", "port", "root", "zvol"];

/// What is the matter with `device`, a path or `PATH:PATH` as Compose writes it.
pub fn device_fault(device: &str) -> Option<String> {
    let path = device.split(':').next().unwrap_or_default();
    let name = path.strip_prefix("/dev/").unwrap_or_default();
    if name.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        return Some(format!("`{device}` is not a device under /dev/"));
    }
    let first = name.split('/').next().unwrap_or_default();
    let of_the_box = NAMES.contains(&first) || DISKS.iter().any(|start| first.starts_with(start));
    of_the_box.then(|| format!("{path} would give it the box's own disks or memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_keeps_its_disks_and_its_memory() {
        for device in [
            "/dev/sda",
            "/dev/vda1",
            "/dev/xvda",
            "/dev/nvme0n1",
            "/dev/dm-0",
            "/dev/md127",
            "/dev/md/data",
            "/dev/loop0",
            "/dev/mapper/state",
            "/dev/disk/by-label/state",
            "/dev/block/8:0",
            "/dev/sg0",
            "/dev/mem",
            "/dev/port",
            "/dev/kmsg",
            "/dev/cpu/0/msr",
            "/dev/tpmrm0",
            "/dev/sda:/dev/other",
            "/dev",
            "/dev/",
            "/dev//sda",
            "/dev/./sda",
            "/dev/dri/../sda",
            "/etc/shadow",
        ] {
            assert!(device_fault(device).is_some(), "{device}");
        }
        for device in [
            "/dev/net/tun:/dev/net/tun",
            "/dev/ttyUSB0",
            "/dev/zigbee",
            "/dev/serial/by-id/usb-x",
            "/dev/snd",
            "/dev/dvb",
            "/dev/kvm",
            "/dev/bus/usb",
            "/dev/video0",
            "/dev/sr0",
            "/dev/fuse",
            "/dev/dri/renderD128",
        ] {
            assert_eq!(device_fault(device), None);
        }
    }
}
