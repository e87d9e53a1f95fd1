#!/bin/busybox sh
case "$1" in
bound | renew)
	ifconfig "$interface" "$ip" netmask "$subnet"
	for gateway in $router; do route add default gw "$gateway" dev "$interface"; done
	echo "nameserver ${dns%% *}" > /etc/resolv.conf
	;;
esac
