# Of the unpacked packages, keep the C and C++ run-time libraries, with their loader where programs expect it.
set -eu
tree=$1
keep=$tree/.keep
for pattern in 'ld-linux-*' libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2 \
    libnss_dns.so.2 libnss_files.so.2 libgcc_s.so.1 'libstdc++.so.6*' 'libz.so.1*'; do
    for file in "$tree"/usr/lib/*-linux-gnu*/$pattern; do
        [ -e "$file" ] || continue
        folder=$keep/usr/lib/$(basename "$(dirname "$file")")
        mkdir -p "$folder"
        cp -a "$file" "$folder/"
    done
done
for folder in lib lib64; do
    mkdir -p "$keep/usr/$folder"
    ln -s "usr/$folder" "$keep/$folder"
done
for loader in "$tree"/usr/lib64/ld-* "$tree"/usr/lib/ld-*; do
    [ -e "$loader" ] || continue
    cp -a "$loader" "$keep/usr/$(basename "$(dirname "$loader")")/"
done
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$keep.nsswitch"
mkdir -p "$keep/etc"
mv "$keep.nsswitch" "$keep/etc/nsswitch.conf"
