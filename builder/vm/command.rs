//! QEMU's command line: the parts of a machine go in, a call of the tools' QEMU comes out. Nothing is started here.

use std::fs::OpenOptions;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;

use super::disk::BoxDisk;
use super::options::{Host, MachineOptions, Network, Unit};
use crate::tool::Tool;

/// Whether the host's processor can run the machine: /dev/kvm may exist where it cannot.
fn virtualisation() -> bool {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let capable = flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    capable && OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// QEMU's call for a machine, without the monitor.
pub(super) fn line(disk: &BoxDisk, options: &MachineOptions, host: &Host<'_>) -> Result<Tool> {
    let Host { tools, platform, distribution } = host;
    let emulator = &platform.emulator;
    let secure = if options.secure_boot { ",smm=on" } else { "" };
    let mut tool = tools
        .tool(&emulator.program)?
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"])
        .arg("-machine")
        .arg(format!("{}{secure}", emulator.machine));
    for folder in ["usr/share/qemu", "usr/share/seabios"] {
        if let Ok(path) = tools.path(folder) {
            tool = tool.arg("-L").arg(path);
        }
    }
    tool = processor(tool, options, &emulator.processor);
    tool = tool.arg("-smp").arg(options.processors.to_string()).arg("-m").arg(options.memory.to_string());

    let paths = &distribution.tools.paths;
    let (code, variables) = if options.secure_boot {
        tool = tool.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        (&paths.ovmf_secure_code, &paths.ovmf_secure_vars)
    } else {
        (&paths.ovmf_code, &paths.ovmf_vars)
    };
    let own = disk.folder.join(if options.secure_boot { "variables.secure" } else { "variables" });
    if !own.exists() {
        let original = tools.path(variables)?;
        std::fs::copy(&original, &own).with_context(|| format!("copying {}", original.display()))?;
    }
    tool = tool
        .arg("-drive")
        .arg(format!("if=pflash,format=raw,readonly=on,file={}", escaped(&tools.path(code)?)))
        .arg("-drive")
        .arg(format!("if=pflash,format=raw,file={}", escaped(&own)));

    tool = drive(tool, "box", &disk.path).args(["-device", "virtio-blk-pci,drive=box,bootindex=0"]);
    tool = tool.args(["-device", "qemu-xhci,id=usb"]);
    for (number, path) in options.disks.iter().enumerate() {
        let name = format!("extra{number}");
        tool =
            drive(tool, &name, path).arg("-device").arg(format!("virtio-blk-pci,drive={name},serial={name}"));
    }
    tool = network(tool, &options.network);
    for unit in &options.units {
        tool = tool.arg("-smbios").arg(credential(unit));
    }
    Ok(tool.args([
        "-device",
        "virtio-rng-pci",
        "-chardev",
        "stdio,id=console,signal=off",
        "-serial",
        "chardev:console",
    ]))
}

/// The processor, emulated as `emulated` where the host's cannot be used, and what the kernel is told about it.
fn processor(tool: Tool, options: &MachineOptions, emulated: &str) -> Tool {
    let mut words = options.command_line.clone();
    let tool = if virtualisation() {
        tool.args(["-accel", "kvm", "-cpu", "host"])
    } else {
        // On a busy host an emulated timer may be late when the kernel looks for it, and the kernel would panic. It leaves
        // the check out by itself where it sees a hypervisor that it knows.
        words.push("no_timer_check".to_owned());
        // There is nothing to mitigate on an emulated processor, and emulating page table isolation takes a quarter of the
        // time to good.
        words.push("mitigations=off".to_owned());
        tool.args(["-accel", "tcg,thread=multi", "-cpu", emulated])
    };
    if words.is_empty() {
        return tool;
    }
    // smbios-type-11(7): systemd-boot adds it to the entry's.
    let words = words.join(" ").replace(',', ",,");
    tool.arg("-smbios").arg(format!("type=11,value=io.systemd.boot.kernel-cmdline-extra={words}"))
}

fn drive(tool: Tool, name: &str, path: &Path) -> Tool {
    // The file is a copy: a crash of the host may take what the machine believed to be written.
    tool.arg("-drive")
        .arg(format!("if=none,id={name},format=raw,cache=unsafe,discard=unmap,file={}", escaped(path)))
}

fn network(tool: Tool, network: &Network) -> Tool {
    let backend = match network {
        Network::Unplugged => return tool,
        Network::Isolated => router(true, &[]),
        Network::Open => router(false, &[]),
        Network::Custom { isolated, arguments } => router(*isolated, arguments),
        Network::Cable(socket) => {
            format!("stream,id=lan,server=off,addr.type=unix,addr.path={}", escaped(socket))
        }
    };
    // The card's own boot program is not needed and not among the tools.
    tool.arg("-netdev").arg(backend).args(["-device", "virtio-net-pci,netdev=lan,romfile="])
}

/// QEMU's own router.
fn router(isolated: bool, arguments: &[String]) -> String {
    let mut backend = String::from("user,id=lan");
    if isolated {
        backend.push_str(",restrict=on");
    }
    for argument in arguments {
        backend.push(',');
        backend.push_str(argument);
    }
    backend
}

/// QEMU reads a doubled comma as a comma.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// SMBIOS type 11, as systemd reads it (systemd.system-credentials(7)).
fn credential(unit: &Unit) -> String {
    let (kind, name, text) = match unit {
        Unit::Whole { name, text } => ("extra-unit", name, text),
        Unit::DropIn { name, text } => ("unit-dropin", name, text),
    };
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    format!("type=11,value=io.systemd.credential.binary:systemd.{kind}.{name}={text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_smbios_strings_that_survive_qemus_commas() {
        let unit =
            Unit::Whole { name: "probe.service".into(), text: "[Service]\nExecStart=/bin/true a,b\n".into() };
        let shown = credential(&unit);
        assert!(
            shown.starts_with("type=11,value=io.systemd.credential.binary:systemd.extra-unit.probe.service=")
        );
        assert_eq!(shown.matches(',').count(), 1);
    }
}
