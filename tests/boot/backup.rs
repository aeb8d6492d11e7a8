//! A backup on a booted box, by the real Kopia to a data disk, and a service that comes back from it: files and database, with
//! the container stopped and started by the box.

/// Backs Sonarr up, spoils what Sonarr keeps, and restores it; for [`assert_restored`].
pub const SCRIPT: &str = "
kept=/srv/state/sonarr/config
echo 'as it was' >$kept/marker && chown 1000:1000 $kept/marker && chmod 600 $kept/marker
sql() { python3 -c 'import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); print(*base.execute(sys.argv[2]).fetchall()); base.commit()' $kept/kept.db \"$1\"; }
sql \"CREATE TABLE kept AS SELECT 'as it was' AS text\" && chown 1000:1000 $kept/kept.db
box backup sonarr >/run/backup.said 2>&1; echo \"backup ended $?\"; sed 's/^/backup says /' /run/backup.said
echo spoilt >$kept/marker
sql \"UPDATE kept SET text = 'spoilt'\"
box restore sonarr >/run/restore.said 2>&1; echo \"restore ended $?\"; sed 's/^/restore says /' /run/restore.said
echo \"marker $(cat $kept/marker) $(stat -c '%a %u:%g' $kept/marker)\"
echo \"row $(sql 'SELECT text FROM kept')\"
echo \"sonarr $(systemctl is-active boxwright-service-sonarr) $(docker inspect -f '{{.State.Health.Status}}' sonarr)\"
echo \"repository $(stat -c '%a %u' /srv/media/backups) $(box backups sonarr | wc -l)\"
";

/// Holds what [`SCRIPT`] printed against what it must.
pub fn assert_restored(printed: &[String]) {
    for line in [
        "backup ended 0",
        "restore ended 0",
        "marker as it was 600 1000:1000",
        "row ('as it was',)",
        "sonarr active healthy",
        "repository 700 64080 1",
    ] {
        assert!(printed.iter().any(|one| one == line), "no {line:?} in\n{}", printed.join("\n"));
    }
}
