import pytest

from provider.urn import Urn, parse


@pytest.mark.parametrize(
    ("urn", "expected"),
    [
        ("urn:pulumi:dev::p::matrix:index:KeyPair::key", Urn("dev", "matrix:index:KeyPair", "key")),
        ("urn:pulumi:dev::p::a:b:Cloud$matrix:index:Vm::n", Urn("dev", "matrix:index:Vm", "n")),
        ("urn:pulumi:dev::p::t:t:T::a::b", Urn("dev", "t:t:T", "a::b")),
    ],
)
def test_parse(urn: str, expected: Urn) -> None:
    assert parse(urn) == expected


@pytest.mark.parametrize("urn", ["", "urn:pulumi:dev::p::t", "dev::p::t::n"])
def test_what_is_no_urn(urn: str) -> None:
    with pytest.raises(ValueError, match=r"^not a resource name"):
        parse(urn)
