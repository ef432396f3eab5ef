import pytest

from deploy.host.access import Access, AccessError


def test_loopback_alone_by_default():
    access = Access.make("127.0.0.1", None, ())
    assert access.permits("127.0.0.1", "")
    assert access.permits("::1", "")
    assert not access.permits("192.168.1.5", "")
    assert not access.permits(None, "")
    assert not access.permits("testclient", "")


def test_a_source_range_lets_pass_without_a_token():
    access = Access.make("0.0.0.0", None, ["172.16.0.0/12"])
    assert access.permits("172.17.0.2", "")
    assert access.permits("::ffff:172.17.0.2", "")
    assert not access.permits("172.32.0.1", "")


def test_with_a_token_even_this_machine_needs_it():
    access = Access.make("0.0.0.0", "secret", ["10.0.0.0/8"])
    assert not access.permits("127.0.0.1", "")
    assert access.permits("127.0.0.1", "Bearer secret")
    assert access.permits("10.1.2.3", "")
    assert not access.permits("8.8.8.8", "Bearer secretx")
    assert not access.permits("8.8.8.8", "Bearer §")


@pytest.mark.parametrize(
    ("host", "token", "allow"),
    [
        ("0.0.0.0", None, ()),
        ("::", None, ()),
        ("example.org", None, ()),
        ("127.0.0.1", " ", ()),
        ("::1", None, ["::/0"]),
    ],
)
def test_an_open_host_is_refused(host, token, allow):
    with pytest.raises(AccessError):
        Access.make(host, token, allow)
