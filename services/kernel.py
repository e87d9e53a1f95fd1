"""Kernel settings of every machine's network."""

from services.files import File

CONFIG = "/etc/sysctl.d/95-matrix-network.conf"

_SETTINGS = """\
# The private network is IPv4 alone: what does not exist needs no filter.
net.ipv6.conf.all.disable_ipv6 = 1
net.ipv6.conf.default.disable_ipv6 = 1
net.ipv6.conf.lo.disable_ipv6 = 0
# A packet whose source does not belong to the card it came by is dropped.
net.ipv4.conf.all.rp_filter = 1
net.ipv4.conf.default.rp_filter = 1
net.ipv4.conf.all.accept_redirects = 0
net.ipv4.conf.default.accept_redirects = 0
net.ipv4.conf.all.send_redirects = 0
"""


def kernel_files() -> tuple[File, ...]:
    return (File(CONFIG, _SETTINGS),)
