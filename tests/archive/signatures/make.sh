#!/bin/sh
# Makes the files in this folder: keys of several kinds, and the message `Origin: Test` signed by each of them.
# Run by hand with GnuPG 2.2 or later; the private keys are thrown away.
set -eu
cd "$(dirname "$0")"
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'rm -rf "$GNUPGHOME"' EXIT
gpg() { command gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase '' --faked-system-time 20240601T000000! "$@"; }

make() { # name, when the primary key expires, when the signing subkey does
	gpg --quick-generate-key "$1" ed25519 cert "$2"
	fingerprint=$(gpg --list-keys --with-colons "$1" | awk -F: '/^fpr/ { print $10; exit }')
	gpg --quick-add-key "$fingerprint" ed25519 sign "$3"
}
sign() { # name, further options
	name=$1
	shift
	printf 'Origin: Test\n- dashed\n' | gpg --local-user "$name" "$@" --clearsign > "$name.signed"
}
export_key() {
	gpg --armor --export "$1" > "$1.asc"
	gpg --list-keys --with-colons "$1" | awk -F: '/^fpr/ { print $10; exit }' > "$1.fingerprint"
}

for name in good foreign; do make "$name" never never; done
make expired 1y never
make expired-subkey never 1y
make revoked never never
make weak never never
for name in good foreign expired expired-subkey revoked; do sign "$name"; done
sign weak --digest-algo SHA1 --personal-digest-preferences SHA1 --cert-digest-algo SHA256
sed -i 's/^:---/---/' "$GNUPGHOME"/openpgp-revocs.d/"$(gpg --list-keys --with-colons revoked | awk -F: '/^fpr/ { print $10; exit }')".rev
for name in good foreign expired expired-subkey weak; do export_key "$name"; done
gpg --import "$GNUPGHOME"/openpgp-revocs.d/"$(gpg --list-keys --with-colons revoked | awk -F: '/^fpr/ { print $10; exit }')".rev
export_key revoked
