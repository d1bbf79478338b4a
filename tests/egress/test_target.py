"""Which addresses may be called: faults W3 and W6 at the door."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.egress.addresses import is_public
from headrace.egress.resolving import SystemResolver, locate
from headrace.egress.target import Rules, TargetError, parse_target
from tests.egress.receiver import Names

STRICT = Rules()
INTERNAL = [str(IPv4Address(0)), *[
    "127.0.0.1", "127.255.255.254", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    "0.1.2.3", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1", "4000::1",
]]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "223.255.255.254", "2606:4700:4700::1111"]
SPELLINGS = [
    "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.1", "017700000001", "0177.0.0.1", "0",
    "0x", "127.0.0.1.", "127.0.0.0x1", "1.2.3.4.5", "256.256.256.256", "0127.0.0.1", "127.000.0.1",
    "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[127.0.0.1]", "[::1%25lo]", "[fe80::1%eth0]",
    "localhost", "LOCALHOST", "localhost.", "metadata", "①②⑦.0.0.1", "127。0。0。1",
    "%31%32%37.0.0.1", "127.0.0.1%00.example.com", "example.com\x00.evil",
]  # fmt: skip


class TestAddresses:
    @pytest.mark.parametrize("text", INTERNAL)
    def test_internal_ones_are_not_public(self, text: str):
        assert not is_public(ip_address(text))

    @pytest.mark.parametrize("text", PUBLIC)
    def test_those_of_the_internet_are(self, text: str):
        assert is_public(ip_address(text))

    @given(st.ip_addresses())
    def test_nothing_is_public_that_python_holds_for_private(
        self, address: IPv4Address | IPv6Address
    ):
        if is_public(address):
            assert address.is_global
            assert not any((address.is_multicast, address.is_reserved, address.is_link_local))


class TestW3InternalTargets:
    """Fault W3, at registration: internal targets in all spellings."""

    @pytest.mark.parametrize("host", [*SPELLINGS, *INTERNAL])
    def test_it_is_refused_in_every_spelling(self, host: str):
        shown = f"[{host}]" if ":" in host and "[" not in host else host
        for url in (f"https://{shown}/", f"https://{shown}:8443/x", f"http://{shown}"):
            with pytest.raises(TargetError):
                parse_target(url, STRICT)

    @pytest.mark.parametrize("address", INTERNAL)
    async def test_a_name_that_leads_there_is_refused(self, address: str):
        names = Names(
            {"inner.example.com": [[address]], "both.example.com": [["1.1.1.1", address]]}
        )
        for host in names.answers:
            with pytest.raises(TargetError, match="no public host"):
                await locate(parse_target(f"https://{host}/", STRICT), names)

    async def test_the_machines_own_names_lead_nowhere(self):
        resolver = SystemResolver()
        for host in ("localhost", "127.0.0.1", "2130706433", "127.1"):
            found = await resolver.resolve(host, 443)
            assert found
            assert not any(map(is_public, found))
        await resolver.close()

    async def test_a_name_that_nobody_has_is_refused_like_a_private_one(self):
        names = Names({"inner.example.com": [["10.0.0.1"]]})
        said = []
        for host in ("gone.example.com", "inner.example.com"):
            with pytest.raises(TargetError) as refused:
                await locate(parse_target(f"https://{host}", STRICT), names)
            said.append(str(refused.value).replace(host, "it"))
        assert said[0] == said[1]


class TestW6BadUrls:
    """Fault W6, at registration: what is no plain https URL."""

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("http://hooks.example.com/", "has to be https"),
            ("ftp://hooks.example.com/", "no https URL"),
            ("file:///etc/passwd", "no https URL"),
            ("gopher://hooks.example.com/", "no https URL"),
            ("hooks.example.com/x", "no https URL"),
            ("//hooks.example.com/x", "no https URL"),
            ("", "no https URL"),
            ("https://", "no URL with a host"),
            ("https:///x", "no URL with a host"),
            ("https://user@hooks.example.com/", "a name or a password"),
            ("https://user:secret@hooks.example.com/", "a name or a password"),
            ("https://1.1.1.1@127.0.0.1/", "a name or a password"),
            ("https://hooks.example.com\\@127.0.0.1/", "no URL with a host"),
            ("https://hooks.example.com:22/", "port 22 is not called"),
            ("https://hooks.example.com:80/", "port 80"),
            ("https://hooks.example.com:0/", "port 0"),
            ("https://hooks.example.com:65536/", "port 65536"),
            ("https://hooks.example.com:-1/", "no URL with a host"),
            ("https://hooks.example.com:https/", "no URL with a host"),
            ("https://hooks.example.com/#part", "no fragment"),
            ("https://hooks.example.com/\r\nX-Evil: 1", "no spaces"),
            ("https://hooks.example.com/\nX-Evil: 1", "no spaces"),
            ("https://hooks.example.com\r\n/", "no spaces"),
            ("https://hooks.example.com/a b", "no spaces"),
            ("https://hooks.example.com/\t", "no spaces"),
            ("https://hooks.example.com/ä", "ASCII"),
            ("https://hööks.example.com/", "ASCII"),
            ("https://hooks..example.com/", "no name of a host"),
            ("https://-hooks.example.com/", "no name of a host"),
            (f"https://{'a' * 64}.example.com/", "no name of a host"),
            (f"https://{'a.' * 130}com/", "no name of a host"),
            ("https://hooks/", "no full name"),
            (f"https://hooks.example.com/{'x' * 10_240}", "10,266 characters"),
        ],
    )
    def test_it_is_refused_and_told_why(self, url: str, why: str):
        with pytest.raises(TargetError, match=why):
            parse_target(url, STRICT)

    @pytest.mark.parametrize(
        ("url", "authority", "path"),
        [
            ("https://hooks.example.com", "hooks.example.com", "/"),
            ("HTTPS://Hooks.Example.COM:443/A", "hooks.example.com", "/A"),
            ("https://hooks.example.com:8443/a?b=c", "hooks.example.com:8443", "/a?b=c"),
            ("https://hooks.example.com?b=c", "hooks.example.com", "/?b=c"),
            ("https://_x.xn--hks-sna.example/%0d%0a", "_x.xn--hks-sna.example", "/%0d%0a"),
            ("https://1.1.1.1/", "1.1.1.1", "/"),
            ("https://[2606:4700:4700::1111]:8443/", "[2606:4700:4700::1111]:8443", "/"),
        ],
    )
    def test_a_plain_one_is_taken(self, url: str, authority: str, path: str):
        target = parse_target(url, STRICT)
        assert (target.authority, target.path) == (authority, path)

    @given(st.text(max_size=60))
    def test_no_text_at_all_makes_it_fail_in_another_way(self, text: str):
        for url in (text, f"https://{text}", f"https://{text}/"):
            try:
                target = parse_target(url, STRICT)
            except TargetError:
                continue
            assert target.literal is None or is_public(target.literal)


class TestRules:
    def test_a_private_host_is_called_where_it_is_named(self):
        rules = Rules(frozenset({"localhost", "::1", "10.0.0.7"}))
        assert parse_target("http://localhost:9000/x", rules).authority == "localhost:9000"
        assert parse_target("http://[::1]:9000/x", rules).authority == "[::1]:9000"
        assert parse_target("https://10.0.0.7/x", rules).port == 443
        for url in ("https://10.0.0.8/", "http://hooks.example.com/", "https://127.0.0.1/"):
            with pytest.raises(TargetError):
                parse_target(url, rules)
        with pytest.raises(TargetError, match="is no port"):
            parse_target("http://localhost:70000/", rules)
