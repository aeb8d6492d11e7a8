#!/bin/sh
# What builds are not reproducible by: a file each under /usr/share/planted, which differs from build to build, and under
# /usr/share/steady what would differ, were the sandbox not the same everywhere.
set -e
mkdir -p /usr/share/planted /usr/share/steady
cd /usr/share/planted
echo fresh >/tmp/fresh

date +%Y-%m-%d >date
date +%s >timestamp
date +%Z%N >nanoseconds
perl -e 'print scalar localtime' >perl-time
stat -c %Y /tmp/fresh >time-of-a-file
gzip -c /tmp/fresh >packed-with-its-time.gz
tar -C /tmp -cf times-in-an-archive.tar fresh
cut -d ' ' -f 22 /proc/self/stat >start-of-a-process
cut -d ' ' -f 1 /proc/uptime >uptime

head -c 16 /dev/urandom >random-bytes
cat /proc/sys/kernel/random/uuid >random-guid
mktemp -u >temporary-name
mktemp /usr/share/planted/named-by-chance.XXXXXXXXXX >/dev/null
shuf -i 1-1000 >shuffled
perl -e 'my %h = map { $_ => 1 } 1 .. 99; print join(" ", keys %h)' >order-of-a-hash
perl -e 'print rand' >perl-random

stat -c %i /usr/share/planted >inode
cat /proc/self/mountinfo >folder-of-the-build
cat /proc/self/uid_map >user-of-the-build
nproc >processors
grep MemFree /proc/meminfo >free-memory
df / >free-space

cd /usr/share/steady
uname -n >host-name
umask >umask
date -d @0 +%c >time-zone-and-language
printf '%s\n' a B c I i z Z | sort >sorted-list
printf '%s\n' /etc/* >listed-by-the-shell
env | grep -v -e FAKE -e LD_PRELOAD | sort >environment
id -u >user
pwd >folder
ls /sys/class/net 2>/dev/null >network || :
