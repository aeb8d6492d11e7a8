# Started by sh in the container: a secret that is not there is an empty file, and diun takes a file as it is.
# shellcheck shell=sh
set -eu
if [ -s /run/secrets/mail-password ]; then
	export DIUN_NOTIF_MAIL_PASSWORDFILE=/run/secrets/mail-password
fi
exec diun serve
