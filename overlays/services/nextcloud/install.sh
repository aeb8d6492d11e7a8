# Started by sh in the container, as the user of the web server, with `install` or `upgrade`: does what the image began with when it
# was interrupted. The image does not try that again, and the pages would ask whoever comes first to do it.
# shellcheck shell=sh
set -eu
log=/tmp/install.log

# An account that a broken installation has made would stop the next one. Where anybody has ever logged in, nothing is touched.
forget() {
	php <<'END'
<?php
$base = new PDO("pgsql:host=" . getenv("POSTGRES_HOST") . ";dbname=" . getenv("POSTGRES_DB"),
    getenv("POSTGRES_USER"), trim(file_get_contents("/run/secrets/db-password")));
if ($base->query("SELECT to_regclass('oc_users') IS NOT NULL AND to_regclass('oc_preferences') IS NOT NULL")->fetchColumn()) {
    $base->exec("DELETE FROM oc_users WHERE uid = 'admin'
        AND NOT EXISTS (SELECT 1 FROM oc_preferences WHERE configkey = 'lastLogin')");
}
END
	[ ! -d data/admin ] || find data/admin -type d -empty -delete
}

install() {
	admin=$(cat /run/secrets/admin-password)
	database=$(cat /run/secrets/db-password)
	forget
	php occ maintenance:install --no-interaction \
		--admin-user="$NEXTCLOUD_ADMIN_USER" --admin-pass="$admin" \
		--database=pgsql --database-host="$POSTGRES_HOST" --database-name="$POSTGRES_DB" \
		--database-user="$POSTGRES_USER" --database-pass="$database"
	# The first one is the installer's.
	index=1
	for domain in $NEXTCLOUD_TRUSTED_DOMAINS; do
		php occ config:system:set trusted_domains "$index" --value="$domain"
		index=$((index + 1))
	done
}

upgrade() {
	php occ upgrade --no-interaction
	# It was left on by the one that was interrupted.
	php occ maintenance:mode --off
}

# It may take longer than whoever starts it waits; a second one would meet the first.
exec 9>/tmp/install.lock
flock --nonblock 9 || exit 0
# What the one before said last.
[ ! -s "$log" ] || tail -n 1 "$log"
(
	# Not as a redirection of the command: this shell would keep the streams of whoever started it, who waits for their end.
	exec >"$log" 2>&1 </dev/null
	"$1"
) &
