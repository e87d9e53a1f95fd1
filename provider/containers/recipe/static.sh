# Add what every program may expect (certificates, users, /tmp) to what is kept, and drop everything else.
set -eu
tree=$1
keep=$tree/.keep
mkdir -p "$keep/etc/ssl/certs" "$keep/home/app" "$keep/run" "$keep/tmp" "$keep/var"
find "$tree/usr/share/ca-certificates" -name '*.crt' | LC_ALL=C sort | xargs cat >"$keep/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/sbin/nologin\napp:x:10001:10001:app:/home/app:/sbin/nologin\n' >"$keep/etc/passwd"
printf 'root:x:0:\napp:x:10001:\n' >"$keep/etc/group"
ln -s ../run "$keep/var/run"
chown 10001:10001 "$keep/home/app"
chmod 1777 "$keep/tmp"
find "$tree" -mindepth 1 -maxdepth 1 ! -name .keep ! -name dev ! -name proc ! -name sys -exec rm -rf {} +
find "$keep" -mindepth 1 -maxdepth 1 -exec mv {} "$tree/" \;
rmdir "$keep"
