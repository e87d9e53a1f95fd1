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

_GIVE_UP = """\
# A peer that lost its power never answers: what was sent to it is given up after about 6 s, not 15 minutes,
# and the router asks another instance.
net.ipv4.tcp_retries2 = 4
"""


def kernel_files(router: bool = False) -> tuple[File, ...]:
    """`router`: the machine hands requests on to others, and must notice soon when one of them is gone."""
    return (File(CONFIG, _SETTINGS + (_GIVE_UP if router else "")),)
