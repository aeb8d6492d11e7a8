//! Encryption of what the box writes, with a TPM in software: nothing is on the disk in the clear, what starts the box cannot be
//! changed without the TPM noticing, and the recovery key opens what the TPM does not.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use boxwright::disk::{self, Role};
use boxwright::secrets::{Handover, Needs, Secrets};
use boxwright::vm::{BoxDisk, MachineOptions};

use crate::harness::{Bench, GOOD, Run, SOON, When, probe, value, with_units};
use crate::profiles;
use crate::secrets;

const PROFILE: &str = "tests/boot/encrypted.toml";

/// As `openssl rand -hex 32` prints one.
const KEY: &str = "5b1f6e0c9a7d43822f6be1907cd5a3f4186e9d02b7c4f8a53e60d1972cab84f6";

/// What the box writes to the ESP, which is not encrypted: a search that misses it would find nothing anywhere.
const OPEN: &str = "0c3b95e8d17f6a24e9b05d8c2f71a63458de1b790c46f2a39587e0d4b16cf3a2";

/// What the initrd says when it cannot open the disk.
const ASKS: &str = "plug in a USB stick (FAT) with the text file boxwright-vault.key";

/// What the box does once it is good. At first it writes the recovery key where services, the box itself and programs write;
/// later it waits until the recovery key may open the disk. It is the same text at each start, since units that are handed
/// in through the firmware are measured as well.
fn work() -> String {
    format!(
        "set -eu
        if [ ! -e /srv/state/canary ]; then
            for file in /srv/state/canary /var/lib/boxwright/canary /etc/canary; do echo {KEY} >$file; done
            echo {OPEN} >/efi/canary
            sync
            exit 0
        fi
        for role in system state; do
            until cryptsetup luksDump --dump-json-metadata /dev/boxwright/$role-encrypted | grep -q recovery; do sleep 1; done
        done
        systemctl start boxwright-encryption.service
        cat /run/boxwright/problems/encryption 2>/dev/null || :
        {LOOK}"
    )
}

/// What is on the disk, and who can open it.
const LOOK: &str = "
for role in system state; do
	echo $role-locked $(blkid -p -o value -s TYPE /dev/boxwright/$role-encrypted) \
		$(blkid -p -o value -s LABEL /dev/boxwright/$role-encrypted) $(blkid -p -o value -s SUBSYSTEM /dev/boxwright/$role-encrypted)
	echo $role-inside $(blkid -p -o value -s TYPE /dev/boxwright/$role)
	echo $role-mapped $(readlink -f /dev/boxwright/$role | grep -c ^/dev/dm-)
	cryptsetup luksDump --dump-json-metadata /dev/boxwright/$role-encrypted | tr -d ' \\n\\t' >/run/header
	echo $role-slots $(grep -o '\"type\":\"boxwright\",\"keyslots\":..[0-9]*..,\"for\":\"[^\"]*\"' /run/header | sed 's/.*for\":\"//; s/\"//' | sort)
	echo $role-keys $(grep -o '\"kdf\":{\"type\"' /run/header | wc -l)
	echo $role-again $(cryptsetup open --test-passphrase --token-only /dev/boxwright/$role-encrypted >/dev/null 2>&1 && echo opens || echo closed)
	echo $role-sealed $(grep -o '\"tpm2-pcrs\":[^]]*.' /run/header | sort -u)
done
echo canary $(cat /srv/state/canary /var/lib/boxwright/canary /etc/canary 2>/dev/null | sort -u)
echo system-mounted $(findmnt -no SOURCE /var/lib/boxwright)
echo release $(cat /run/boxwright/release)
echo keys $(ls /run/boxwright/keys 2>/dev/null | wc -l)
sed 's/^/note /' /run/boxwright/notes 2>/dev/null || :
echo failed $(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1)
for pcr in 0 2 4 7 9 12; do echo measured-$pcr $(cat /sys/class/tpm/tpm0/pcr-sha256/$pcr); done
";

/// A box and its machine.
struct Story<'a> {
    bench: &'a Bench,
    disk: BoxDisk,
    tpm: PathBuf,
}

#[test]
fn what_a_box_writes_is_opened_by_its_own_machine_or_by_its_owner() {
    let Some(bench) = Bench::of(PROFILE) else { return };
    let disk = bench.disk("vault");
    let story = Story { bench: &bench, tpm: disk.folder.join("tpm"), disk };
    story.a_machine_without_a_tpm_is_told_so_and_nothing_is_made();
    let release = story.the_first_start_encrypts_and_the_disk_tells_nothing();
    story.the_next_start_opens_it_and_takes_the_recovery_key(&release);
    story.another_command_line_opens_nothing();
    story.another_initrd_opens_nothing();
    story.a_unit_that_the_firmware_hands_in_opens_nothing();
    story.a_lost_tpm_is_made_up_for_by_a_stick(&release);
    story.it_is_sealed_to_the_new_one();
    story.a_key_that_was_handed_over_with_the_disk_does_as_well(&release);
}

impl Story<'_> {
    fn options(&self) -> MachineOptions {
        let options = MachineOptions { tpm: Some(self.tpm.clone()), ..MachineOptions::default() };
        with_units(&options, [probe("look", When::Early, LOOK), probe("work", When::Good, &work())])
    }

    /// Starts the box and looks at it as soon as its filesystems are there.
    fn look(&self) -> Vec<String> {
        let mut run = self.bench.start(&self.disk, &self.options());
        let seen = run.probe("look", GOOD);
        run.cut_power();
        seen
    }

    /// A stick with `text` as the key.
    fn stick(&self, name: &str, text: &str) -> PathBuf {
        let (path, key) = (self.bench.path(&format!("{name}.img")), self.bench.path(&format!("{name}.key")));
        fs::write(&key, text).unwrap();
        File::create_new(&path).unwrap().set_len(8 << 20).unwrap();
        let tools = self.bench.tools();
        tools.tool("mkfs.vfat").unwrap().arg(&path).run().unwrap();
        let copy = tools.tool("mcopy").unwrap().arg("-i").arg(&path).arg(&key).arg("::/boxwright-vault.key");
        copy.run().unwrap();
        path
    }

    fn a_machine_without_a_tpm_is_told_so_and_nothing_is_made(&self) {
        let mut run = self.bench.start(&self.disk, &MachineOptions::default());
        run.until_text(GOOD, "this machine shows none");
        run.until_text(SOON, ASKS);
        run.cut_power();
        let table = disk::read(&self.disk.path).unwrap().layout;
        for role in [Role::System, Role::State] {
            let begin = self.begin_of(table.find(role).unwrap());
            assert!(begin.iter().all(|&byte| byte == 0), "something was made on {role:?}");
        }
    }

    fn begin_of(&self, partition: &disk::Partition) -> Vec<u8> {
        let mut begin = vec![0; 1 << 20];
        File::open(&self.disk.path).unwrap().read_exact_at(&mut begin, partition.start).unwrap();
        begin
    }

    /// The release.
    fn the_first_start_encrypts_and_the_disk_tells_nothing(&self) -> String {
        let mut run = self.bench.start(&self.disk, &self.options());
        let seen = run.probe("look", GOOD);
        let release = value(&seen, "release");
        for (role, kind) in [("system", "ext4"), ("state", "xfs")] {
            let of = |key: &str| value(&seen, &format!("{role}-{key}"));
            assert_eq!(of("locked"), format!("crypto_LUKS boxwright-{role} vault"));
            assert_eq!((of("inside"), of("mapped"), of("keys")), (kind.into(), "1".into(), "1".into()));
            assert_eq!(of("again"), "closed", "whatever runs on the box, the TPM opens nothing for it");
        }
        assert_eq!(value(&seen, "system-slots"), release, "the TPM alone opens it");
        assert_eq!(value(&seen, "system-sealed"), "\"tpm2-pcrs\":[0,2,4,7,9,12]");
        assert_eq!(value(&seen, "state-slots"), "system", "a key in the system partition alone opens it");
        assert!(!seen.iter().any(|line| line.starts_with("state-sealed ")), "{seen:#?}");
        run.until_good();
        run.probe("work", SOON);
        run.shut_down();

        let layout = disk::read(&self.disk.path).unwrap().layout;
        for role in [Role::System, Role::State] {
            assert_eq!(&self.begin_of(layout.find(role).unwrap())[..6], b"LUKS\xba\xbe");
        }
        assert_eq!(self.leaks(OPEN), 1, "what is not encrypted is found");
        assert_eq!(self.leaks(KEY), 0, "what the box wrote is on the disk in the clear");
        release
    }

    fn the_next_start_opens_it_and_takes_the_recovery_key(&self, release: &str) {
        self.hand_over();
        let mut run = self.bench.start(&self.disk, &self.options());
        run.until_good();
        let seen = run.probe("work", SOON);
        assert!(!asked(&run), "it was not opened by the TPM");
        assert_eq!(value(&seen, "canary"), KEY);
        assert!(
            !seen.iter().any(|line| line.starts_with("note ") || line.starts_with("failed ")),
            "{seen:#?}"
        );
        assert_eq!(value(&seen, "system-slots"), format!("{release} recovery"), "{seen:#?}");
        assert_eq!(value(&seen, "state-slots"), "recovery system", "{seen:#?}");
        assert_eq!((value(&seen, "system-keys"), value(&seen, "state-keys")), ("2".into(), "2".into()));
        assert_eq!(value(&seen, "keys"), "0");
        run.shut_down();
        secrets::assert_overwritten(&self.disk);
        assert_eq!(self.leaks(KEY), 0, "the recovery key is on the disk in the clear");
    }

    /// The secrets of this box, with that recovery key.
    fn secrets(&self, key: &str) -> Secrets {
        let file = secrets::written(&self.disk.folder, &format!("[box]\nrecovery-key = '{key}'\n"));
        let checked = profiles::checked(&profiles::project().join(PROFILE));
        let needs = Needs::of(&checked, checked.catalog()).unwrap();
        Secrets::load(&file, &needs).map_err(|findings| findings.render(false)).unwrap()
    }

    /// Hands the recovery key to the disk, as flashing does.
    fn hand_over(&self) {
        self.disk.write_secrets(&self.secrets(KEY).bundle(&Handover::default()).unwrap()).unwrap();
    }

    /// How often `key` is found on the disk.
    fn leaks(&self, key: &str) -> usize {
        self.secrets(key).scan(std::slice::from_ref(&self.disk.path)).unwrap().len()
    }

    fn another_command_line_opens_nothing(&self) {
        let path = self.entry();
        let text = self.bench.esp_read(&self.disk, &path);
        self.bench.esp_write(&self.disk, &path, text.replace(" quiet ", " quiet init=/bin/sh "));
        let mut run = self.bench.start(&self.disk, &self.options());
        run.until_text(GOOD, ASKS);
        // A key that is none does not open it either.
        run.machine.plug("wrong", &self.stick("wrong", &KEY.replace('0', "1"))).unwrap();
        run.until_text(SOON, "does not open this box");
        run.cut_power();
        self.bench.esp_write(&self.disk, &path, &text);
    }

    fn another_initrd_opens_nothing(&self) {
        let name = self.bench.esp_list(&self.disk, "boxwright");
        let name = name.iter().find(|name| name.starts_with("initrd-")).unwrap();
        let path = format!("boxwright/{name}");
        let whole = self.bench.esp_bytes(&self.disk, &path);
        // Zeroes at the end change nothing but what is measured.
        let mut longer = whole.clone();
        longer.resize(longer.len() + 4, 0);
        self.bench.esp_write(&self.disk, &path, &longer);
        let mut run = self.bench.start(&self.disk, &self.options());
        run.until_text(GOOD, ASKS);
        run.cut_power();
        self.bench.esp_write(&self.disk, &path, &whole);
    }

    fn a_unit_that_the_firmware_hands_in_opens_nothing(&self) {
        let more = probe("more", When::Early, "cat /srv/state/canary");
        let mut run = self.bench.start(&self.disk, &with_units(&self.options(), [more]));
        run.until_text(GOOD, ASKS);
        run.cut_power();
    }

    fn a_lost_tpm_is_made_up_for_by_a_stick(&self, release: &str) {
        fs::rename(&self.tpm, self.disk.folder.join("lost")).unwrap();
        let mut run = self.bench.start(&self.disk, &self.options());
        run.until_text(GOOD, ASKS);
        let typed = format!("{} -\r\n{}\r\n", KEY[..32].to_uppercase(), &KEY[32..]);
        run.machine.plug("stick", &self.stick("right", &typed)).unwrap();
        run.until_text(SOON, "there is the recovery key");
        let seen = run.probe("look", GOOD);
        assert_eq!(value(&seen, "canary"), KEY);
        assert!(value(&seen, "note").contains("the recovery key opened this box"), "{seen:#?}");
        assert_eq!(value(&seen, "system-slots"), format!("{release} recovery"));
        assert_eq!(value(&seen, "system-keys"), "2", "what the lost one had sealed is gone: {seen:#?}");
        assert_eq!(value(&seen, "keys"), "0", "no key is left in memory");
        run.cut_power();
    }

    fn it_is_sealed_to_the_new_one(&self) {
        let seen = self.look();
        assert_eq!(value(&seen, "canary"), KEY);
        assert!(!seen.iter().any(|line| line.starts_with("note ")), "{seen:#?}");
    }

    fn a_key_that_was_handed_over_with_the_disk_does_as_well(&self, release: &str) {
        fs::remove_dir_all(&self.tpm).unwrap();
        self.hand_over();
        let seen = self.look();
        assert_eq!(value(&seen, "canary"), KEY);
        assert_eq!(value(&seen, "system-slots"), format!("{release} recovery"));
    }

    fn entry(&self) -> String {
        let entries = self.bench.esp_list(&self.disk, "loader/entries");
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        format!("loader/entries/{entry}")
    }
}

/// Whether the box asked for a key.
fn asked(run: &Run) -> bool {
    run.machine.seen().iter().any(|line| line.contains(ASKS))
}
