"""Hardware addresses follow from names."""

import re

from components.addressing import mac


def test_an_address_is_the_same_on_every_run():
    assert mac("dev", "manager", "nat") == "52:54:00:b6:a1:82"


def test_every_card_of_every_host_of_every_stack_differs():
    cards = {
        mac(stack, host, card)
        for stack in ("dev", "prod")
        for host in ("manager", *(f"node{number}" for number in range(2, 255)))
        for card in ("nat", "internal")
    }
    assert len(cards) == 2 * 254 * 2
    assert all(re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", card) for card in cards)
