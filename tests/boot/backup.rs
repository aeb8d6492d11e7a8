//! A backup on a booted box, by the real Kopia to a data disk, and a service that comes back from it: files and database, with
//! the containers stopped and started by the box.

/// Backs Nextcloud up, spoils what Nextcloud keeps, and restores it; for [`assert_restored`].
pub const SCRIPT: &str = "
kept=/srv/state/nextcloud/html/config
mkdir -p $kept && echo 'as it was' >$kept/marker && chown -R 33:33 $kept && chmod 600 $kept/marker
sql() { docker exec nextcloud-db psql -U nextcloud -qtAc \"$1\"; }
sql \"CREATE TABLE kept AS SELECT 'as it was' AS text\"
box backup nextcloud >/run/backup.said 2>&1; echo \"backup ended $?\"; sed 's/^/backup says /' /run/backup.said
echo spoilt >$kept/marker
sql \"UPDATE kept SET text = 'spoilt'\"
box restore nextcloud >/run/restore.said 2>&1; echo \"restore ended $?\"; sed 's/^/restore says /' /run/restore.said
echo \"marker $(cat $kept/marker) $(stat -c '%a %u:%g' $kept/marker)\"
echo \"row $(sql 'SELECT text FROM kept')\"
echo \"nextcloud $(systemctl is-active boxwright-service-nextcloud) $(docker inspect -f '{{.State.Health.Status}}' nextcloud nextcloud-db | paste -sd ' ' -)\"
echo \"repository $(stat -c '%a %u' /srv/media/backups) $(box backups nextcloud | wc -l)\"
";

/// Holds what [`SCRIPT`] printed against what it must.
pub fn assert_restored(printed: &[String]) {
    for line in [
        "backup ended 0",
        "restore ended 0",
        "restore says nextcloud: nextcloud.pgdump is loaded into db",
        "marker as it was 600 33:33",
        "row as it was",
        "nextcloud active healthy healthy",
        "repository 700 64080 1",
    ] {
        assert!(printed.iter().any(|one| one == line), "no {line:?} in\n{}", printed.join("\n"));
    }
}
