# shellcheck shell=sh disable=SC2034,SC2154
# Encryption of system and state: LUKS2. The TPM opens the system partition, a key in there the state partition, and the
# recovery key both.
#
# Each release has a key slot in the system partition that is sealed to what the TPM measured when the release was started. A
# token of the type "boxwright" in the header says what a slot is for: a release, "system" (the key in the system partition),
# or "recovery". LUKS' label is the role, its subsystem the box, or "new" until there is a filesystem inside. What belongs to
# this box is never formatted because it cannot be opened.
#
# Whoever puts a system partition of his own in place, sealed to the same measurements, has it started: nothing proves to
# the TPM which one is right. He gains nothing: before anything in it runs, the TPM is closed until the next start, and the
# key of the real state partition is in the real system partition.

# Firmware and what it loads from cards (0, 2), shim, systemd-boot and kernel (4), Secure Boot's keys (7), initrd and command
# line as the kernel takes them (9), the command line as systemd-boot hands it over (12).
MEASURED=0+2+4+7+9+12
# One of them, to which this start adds: what else systemd takes orders from, and at last that everything is open.
OURS=12

# Seconds for which a start waits for a key.
PATIENCE=600

# Where a key is while it is needed, and where a recovery key may come from: one that opened something before, the box's
# secrets while they wait for the box, a stick.
keys=/run/boxwright/keys
sources='had bundle stick'

# What systemd's programs said.
said=/run/boxwright/tpm

# Whether the partition $1 is encrypted.
is_encrypted() {
	[ -n "$1" ] && [ "$(blkid -p -o value -s TYPE "$1" 2>/dev/null)" = crypto_LUKS ]
}

# Whether the partition $2 is the encrypted one for the role $1 of this box, finished.
is_of_this_box() {
	is_encrypted "$2" && [ "$(blkid -p -o value -s LABEL "$2")" = "boxwright-$1" ] &&
		[ "$(blkid -p -o value -s SUBSYSTEM "$2")" = "$(own_subsystem)" ]
}

# The box's name, as far as it fits.
own_subsystem() {
	printf '%.47s' "$box"
}

# The device with the filesystem of the role $1, whose partition is $2.
device_of() {
	if is_encrypted "$2"; then
		echo "/dev/mapper/boxwright-$1"
	else
		echo "$2"
	fi
}

# Opens the system partition if it is encrypted, and closes the TPM for the rest of this start.
open_encrypted_system() {
	part=$(partition_of "$TYPE_SYSTEM")
	if is_encrypted "$part"; then
		[ -x /usr/sbin/cryptsetup ] ||
			fail "$part is encrypted, and this release cannot open it: write encrypt = \"tpm\" in [box] and flash again"
		open_system_volume "$part"
	elif [ -n "$part" ] && [ -n "$encrypt" ]; then
		note "the disk is not encrypted: it was made before the profile asked for that. Back up, flash it with its state erased, and restore"
	fi
	# Closed until the next start: what is sealed is sealed to another sum.
	[ -z "$encrypt" ] || ! has_tpm || measure boxwright:open
}

# Opens the system partition $1. It waits for a key, and gives up by a restart alone.
open_system_volume() {
	[ ! -e /dev/mapper/boxwright-system ] || return 0
	measure_orders
	if has_tpm && cryptsetup open --disable-keyring --token-only --token-type systemd-tpm2 "$1" boxwright-system >"$said" 2>&1; then
		return 0
	fi
	if ! take_key "$1"; then
		say "the TPM does not open this box. That is so after a firmware update, with other settings of the firmware, on a new board, and with a release that was just flashed"
		say "if it is none of these, somebody may have changed what starts this box: do not open it, but flash it again first"
		wait_for_key "$1"
	fi
	open_with "$keys/key" system "$1"
	note "the recovery key opened this box"
	! has_tpm || seal "$1" || note "the TPM does not take the key: the recovery key is needed at each start"
}

# Opens the state partition if it is encrypted, with the key in the system partition, which is mounted.
open_state() {
	part=$(partition_of "$TYPE_STATE")
	# It is open already if it has just been made.
	if [ -z "$degraded" ] && [ ! -e /dev/mapper/boxwright-state ] && is_encrypted "$part"; then
		if ! cryptsetup open --disable-keyring --key-file "$system/state.key" "$part" boxwright-state 2>/dev/null; then
			if ! take_key "$part"; then
				say "the system partition has not got the key of the state partition"
				wait_for_key "$part"
			fi
			open_with "$keys/key" state "$part"
			note "the recovery key opened the state partition"
			make_state_key "$system"
			for slot in $(slots "$part" boxwright ',"for":"system"' | cut -d' ' -f1); do
				wipe_slot "$slot" "$part"
			done
			add_key 31 "$system/state.key" system "$part"
		fi
	fi
	rm -rf "$keys"
}

# Makes the partition $2 of the role $1 an encrypted one, and opens it. It is finished by finish_volume.
make_volume() {
	mkdir -p "$keys"
	chmod 0700 "$keys"
	[ "$1" = state ] || ready_to_encrypt
	say "encrypting the $1 partition"
	own=$keys/$1
	if [ "$1" = state ]; then
		open_system_volume "$(partition_of "$TYPE_SYSTEM")"
		mkdir -p /run/boxwright/look
		mount -t ext4 /dev/mapper/boxwright-system /run/boxwright/look || fail "the system partition cannot be mounted"
		make_state_key /run/boxwright/look
		cp /run/boxwright/look/state.key "$own"
		umount /run/boxwright/look
	else
		random_key >"$own"
	fi
	# All keys are random: nothing is won by making it expensive to try them.
	cryptsetup luksFormat --batch-mode --type luks2 --cipher aes-xts-plain64 --key-size 512 --use-random \
		--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label "boxwright-$1" --subsystem new --key-file "$own" "$2" ||
		fail "$2 cannot be encrypted"
	open_with "$own" "$1" "$2"
	if take_key; then
		add_key 30 "$keys/key" recovery "$2" "$own"
	fi
	if [ "$1" = state ]; then
		name_slot 0 system "$2"
	else
		! has_tpm || seal "$2" "$own" || fail "the TPM does not take the key: $(tail -n 1 "$said")"
		wipe_slot 0 "$2"
	fi
	rm -f "$own"
}

# Waits until the system partition may be encrypted: with a TPM, or with a stick that will be there at each start.
ready_to_encrypt() {
	measure_orders
	! has_tpm || return 0
	sources='had stick'
	say "this box is to be encrypted with a TPM 2.0, and this machine shows none: switch it on in the firmware's setup (TPM, fTPM, PTT)"
	say "without one the box needs the recovery key at each start; with the key plugged in, it is made that way"
	wait_for_key
}

# Says that there is a filesystem in the encrypted partition $2 of the role $1.
finish_volume() {
	sync
	# Whichever of the two is not given would be emptied.
	cryptsetup config --label "boxwright-$1" --subsystem "$(own_subsystem)" "$2" || fail "$2 cannot be written"
}

# Makes the key of the state partition in the folder $1, the mounted system partition, if there is none.
make_state_key() {
	[ ! -s "$1/state.key" ] || return 0
	(umask 077 && random_key >"$1/.state.key")
	sync
	mv "$1/.state.key" "$1/state.key"
	sync
}

# 256 random bits as text, once the kernel has them.
random_key() {
	head -c 32 /dev/random | od -A n -t x1 | tr -d ' \n'
}

# Opens the partition $3 of the role $2 with the key in the file $1.
open_with() {
	# The running box adds a recovery key that comes later with the key of the volume, which root may see this way.
	cryptsetup open --disable-keyring --key-file "$1" "$3" "boxwright-$2" || fail "$3 cannot be opened"
}

# Puts the key in the file $2 into the slot $1 of the partition $4, for $3. The file $5, or the recovery key, opens it.
add_key() {
	cryptsetup luksAddKey --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file "${5:-$keys/key}" \
		--new-key-slot "$1" --new-keyfile "$2" "$4" || fail "$4 cannot be written"
	name_slot "$1" "$3" "$4"
}

# Whether there is a TPM 2.0; one that the firmware tells of may take a while to appear.
has_tpm() {
	tries=0
	while [ ! -c /dev/tpmrm0 ] && [ -e /sys/firmware/acpi/tables/TPM2 ] && [ "$tries" -lt 40 ]; do
		tries=$((tries + 1))
		sleep 0.25
	done
	[ -c /dev/tpmrm0 ]
}

# Has the TPM measure $1.
measure() {
	SYSTEMD_FORCE_MEASURE=1 /usr/lib/systemd/systemd-pcrextend --pcr="$OURS" "$1" >"$said" 2>&1 ||
		fail "the TPM does not measure ($(tail -n 1 "$said")): if it is broken, switch it off in the firmware's setup, and use the recovery key"
}

# Has the TPM measure what systemd, besides the command line, would do as it is told: units and the like in the strings of the
# firmware (SMBIOS type 11, systemd.system-credentials(7)), and a variable of the firmware. Anybody with a screwdriver may set them.
measure_orders() {
	[ -z "${ordered:-}" ] && has_tpm || return 0
	ordered=$({
		tr '\000' '\n' </sys/firmware/dmi/tables/DMI | grep -o 'io\.systemd\.credential.*' | sort
		tail -c +5 /sys/firmware/efi/efivars/SystemdOptions-8cf2644b-4b0b-428f-9387-6d876050dc67
	} 2>/dev/null | sha256sum)
	measure "boxwright:orders:${ordered%% *}"
}

# Seals the partition $1 to this start, in place of what this release has sealed before. The file $2, or the recovery key,
# opens it.
seal() {
	others=$(slots "$1" boxwright ',"for":"[^"]*"' | grep -v " \"for\":\"$release\"" | cut -d' ' -f1)
	# systemd-cryptenroll takes what was sealed to equal measurements for its own, even if another TPM did it.
	for slot in $(slots "$1" systemd-tpm2 '' | cut -d' ' -f1); do
		echo "$others" | grep -qx "$slot" || wipe_slot "$slot" "$1"
	done
	systemd-cryptenroll --unlock-key-file="${2:-$keys/key}" --tpm2-device=auto --tpm2-pcrs="$MEASURED" "$1" \
		>"$said" 2>&1 || return 1
	slot=$(sed -n 's/.*enrolled as key slot \([0-9]*\).*/\1/p' "$said")
	name_slot "$slot" "$release" "$1"
}

# The key slots of those tokens of the partition $1 that have the type $2 and go on with $3: "SLOT REST", one a line.
slots() {
	cryptsetup luksDump --dump-json-metadata "$1" | tr -d ' \t\n' |
		grep -o "\"type\":\"$2\",\"keyslots\":\[\"[0-9]*\"\]$3" | sed 's/.*\["\([0-9]*\)"\],*/\1 /'
}

# Says that the key slot $1 of the partition $3 is for $2.
name_slot() {
	echo "{\"type\":\"boxwright\",\"keyslots\":[\"$1\"],\"for\":\"$2\"}" | cryptsetup token import --json-file - "$3"
}

# Empties the key slot $1 of the partition $2, and removes what says whose it is.
wipe_slot() {
	systemd-cryptenroll --wipe-slot="$1" "$2" >"$said" 2>&1
}

# Waits until there is a recovery key, which opens $1 if that is given.
wait_for_key() {
	say "to open this box, plug in a USB stick (FAT) with the text file boxwright-$box.key. In it is the value of recovery-key from the box's secrets.toml, and nothing else"
	waited=0
	until take_key ${1:+"$1"}; do
		[ "$waited" -lt "$PATIENCE" ] || fail "no key was plugged in within $((PATIENCE / 60)) minutes"
		waited=$((waited + 2))
		[ $((waited % 60)) != 0 ] || say "waiting for a USB stick with boxwright-$box.key"
		sleep 2
	done
	say "there is the recovery key"
}

# Puts the recovery key into $keys/key, if there is one, and it opens $1 if that is given.
take_key() {
	mkdir -p "$keys"
	chmod 0700 "$keys"
	for source in $sources; do
		case $source in
		had) cat "$keys/key" 2>/dev/null ;;
		bundle) key_of_bundle ;;
		stick) key_of_stick ;;
		esac >"$keys/new"
		if [ "$(wc -c <"$keys/new")" = 64 ] &&
			{ [ $# = 0 ] || cryptsetup open --test-passphrase --key-file "$keys/new" "$1" 2>/dev/null; }; then
			mv "$keys/new" "$keys/key"
			return 0
		fi
		if [ "$source" = stick ] && [ -s "$keys/new" ] && ! cmp -s "$keys/new" "$keys/wrong"; then
			say "what is in boxwright-$box.key on the stick does not open this box: it takes the 64 digits of its own recovery-key"
			mv "$keys/new" "$keys/wrong"
		fi
	done
	rm -f "$keys/new"
	return 1
}

# The recovery key in the secrets that were handed over (builder/secrets/bundle.rs), while the box has not taken them. A quote
# in another value has a backslash in front of it.
key_of_bundle() {
	part=$(partition_of "$TYPE_SECRETS")
	[ -n "$part" ] && [ "$(head -c 15 "$part")" = BOXWRIGHTSECRET ] || return 0
	length=$(od -A n -t u8 -j 24 -N 8 "$part" | tr -d ' ')
	[ "$length" -lt 8388544 ] 2>/dev/null || return 0
	digest=$(od -A n -t x1 -j 32 -N 32 "$part" | tr -d ' \n')
	found=$({ head -c 32 "$part" && tail -c +65 "$part" | head -c "$length"; } | sha256sum)
	[ "${found%% *}" = "$digest" ] || return 0
	tail -c +65 "$part" | head -c "$length" | grep -o '"box/recovery-key":"[0-9a-f]\{64\}"' | cut -c 21-84 | tr -d '\n'
}

# The recovery key on a stick: any FAT filesystem on another disk that has the file.
key_of_stick() {
	mkdir -p /run/boxwright/stick
	for entry in /sys/class/block/*; do
		case $(readlink -f "$entry") in
		"$sys" | "$sys"/* | */virtual/*) continue ;;
		esac
		stick=/dev/${entry##*/}
		[ "$(blkid -p -o value -s TYPE "$stick" 2>/dev/null)" = vfat ] || continue
		mount -t vfat -o ro,nosuid,nodev,noexec "$stick" /run/boxwright/stick 2>/dev/null || continue
		for file in "boxwright-$box.key" "boxwright-$box.key.txt"; do
			[ -f "/run/boxwright/stick/$file" ] || continue
			head -c 4096 "/run/boxwright/stick/$file" | tr 'A-F' 'a-f' | tr -cd '0-9a-f'
			break
		done
		umount /run/boxwright/stick
	done
}
