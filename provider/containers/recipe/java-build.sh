# The JDK's tools on PATH, whatever the architecture's folder is called.
set -eu
tree=$1
ln -s "$(basename "$tree"/usr/lib/jvm/java-21-openjdk-*)" "$tree/usr/lib/jvm/jdk"
rm -rf "$tree"/usr/share/doc/* "$tree"/usr/share/man/* "$tree"/var/cache/apt/*.bin "$tree"/var/log/*.log
