"""Kubeconfig: which files, how they merge, what a context means. A test for each sentence."""

import base64
from pathlib import Path

import pytest

from fairlead.base import VirtualClock
from fairlead.kube import CredentialsError, load_credentials

ONE = """
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c1
  cluster: {server: "https://one.example:6443/"}
users:
- name: u1
  user: {token: token-one}
contexts:
- name: one
  context: {cluster: c1, user: u1, namespace: team}
- name: other
  context: {cluster: c1, user: u1}
"""

TWO = """
current-context: two
clusters:
- name: c1
  cluster: {server: "https://shadowed.example"}
- name: c2
  cluster: {server: "https://two.example"}
users:
- name: u2
  user: {token: token-two}
contexts:
- name: two
  context: {cluster: c2, user: u2}
- name: one
  context: {cluster: c2, user: u2}
"""


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def config(tmp_path: Path, *, cluster: str = "", user: str = "    {}") -> str:
    """A kubeconfig with one context; `cluster` and `user` are lines indented by four."""
    return write(
        tmp_path / "config",
        "current-context: x\n"
        "contexts:\n- name: x\n  context: {cluster: x, user: x}\n"
        f"clusters:\n- name: x\n  cluster:\n    server: https://x.example\n{cluster}\n"
        f"users:\n- name: x\n  user:\n{user}\n",
    )


async def headers(path: str) -> dict[str, str]:
    identity = await load_credentials(kubeconfig=path, environ={}).user.identity()
    return dict(identity.headers)


# files


def test_an_explicit_file_stands_alone(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", ONE), write(tmp_path / "2", TWO)
    credentials = load_credentials(kubeconfig=two, environ={"KUBECONFIG": one})
    assert credentials.server == "https://two.example"


def test_an_explicit_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as caught:
        load_credentials(kubeconfig=str(tmp_path / "none"), environ={})
    assert caught.value.code == "KubeconfigNotFound"


def test_without_anything_the_home_folder_is_looked_into(tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", ONE)
    credentials = load_credentials(environ={"HOME": str(tmp_path)})
    assert credentials.server == "https://one.example:6443"
    assert credentials.namespace == "team"
    assert "context one" in credentials.origin


def test_the_first_file_of_the_list_wins_name_by_name(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", ONE), write(tmp_path / "2", TWO)
    environ = {"KUBECONFIG": f"{one}::{tmp_path / 'missing'}:{two}"}
    assert load_credentials(environ=environ).server == "https://one.example:6443"
    assert load_credentials(environ=environ, context="two").server == "https://two.example"
    reversed_ = {"KUBECONFIG": f"{two}:{one}"}
    assert load_credentials(environ=reversed_, context="one").server == "https://two.example"
    assert load_credentials(environ=reversed_, context="other").server == "https://shadowed.example"


def test_a_context_from_one_file_may_name_parts_of_another(tmp_path: Path) -> None:
    one = write(
        tmp_path / "1",
        "contexts:\n- name: mixed\n  context: {cluster: c2, user: u1}\n"
        + ONE.split("contexts:", maxsplit=1)[0],
    )
    two = write(tmp_path / "2", TWO)
    credentials = load_credentials(environ={"KUBECONFIG": f"{one}:{two}"}, context="mixed")
    assert credentials.server == "https://two.example"


def test_an_unknown_context_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="one, other") as caught:
        load_credentials(kubeconfig=write(tmp_path / "1", ONE), context="nope", environ={})
    assert caught.value.code == "ContextNotFound"


def test_no_current_context_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    text = ONE.replace("current-context: one\n", "")
    with pytest.raises(CredentialsError, match="one, other") as caught:
        load_credentials(kubeconfig=write(tmp_path / "1", text), environ={})
    assert caught.value.code == "ContextNotFound"


@pytest.mark.parametrize("missing", ["cluster: c1", "user: u1"])
def test_a_context_that_names_what_is_missing_is_an_error(tmp_path: Path, missing: str) -> None:
    text = ONE.replace(missing, missing.replace("1", "9"))
    with pytest.raises(CredentialsError) as caught:
        load_credentials(kubeconfig=write(tmp_path / "1", text), environ={})
    assert caught.value.code == "KubeconfigInvalid"
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("a: b: c", ":1"),
        ("clusters: 7", "clusters"),
        ("- 1", "object"),
        ("users: [{name: 1, user: {}}]", "str"),
    ],
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, text: str, tells: str) -> None:
    path = write(tmp_path / "broken", text)
    with pytest.raises(CredentialsError, match="broken") as caught:
        load_credentials(kubeconfig=path, environ={})
    assert caught.value.code == "KubeconfigInvalid"
    assert tells in str(caught.value)


def test_nothing_at_all_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as caught:
        load_credentials(environ={"HOME": str(tmp_path)})
    assert caught.value.code == "CredentialsNotFound"
    assert "--kubeconfig" in (caught.value.hint or "")


def test_a_server_has_to_be_a_url(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"one\.example:6443"):
        load_credentials(kubeconfig=write(tmp_path / "1", ONE.replace("https://", "")), environ={})


# users


async def test_a_token(tmp_path: Path) -> None:
    assert await headers(config(tmp_path, user="    token: abc")) == {"Authorization": "Bearer abc"}


async def test_a_token_file_relative_to_its_kubeconfig_goes_before_the_token_and_follows_rotation(
    tmp_path: Path,
) -> None:
    path = config(tmp_path / "sub", user="    token: inline\n    tokenFile: secret/token")
    write(tmp_path / "sub" / "secret" / "token", "from-file\n")
    user = load_credentials(kubeconfig=path, environ={}).user
    assert dict((await user.identity()).headers) == {"Authorization": "Bearer from-file"}
    write(tmp_path / "sub" / "secret" / "token", "rotated-token\n")
    assert dict((await user.identity()).headers) == {"Authorization": "Bearer rotated-token"}


async def test_user_name_and_password(tmp_path: Path) -> None:
    given = await headers(config(tmp_path, user="    username: a\n    password: b"))
    assert given == {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}


async def test_impersonation(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        user="    as: jane\n    as-uid: u7\n    as-groups: [g1, g2]\n    as-user-extra: {scope: [x]}",
    )
    identity = await load_credentials(kubeconfig=path, environ={}).user.identity()
    assert identity.headers == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "u7"),
        ("Impersonate-Group", "g1"),
        ("Impersonate-Group", "g2"),
        ("Impersonate-Extra-scope", "x"),
    )


async def test_client_certificates_from_data_go_before_files(tmp_path: Path) -> None:
    data = base64.b64encode(b"inline").decode()
    write(tmp_path / "cert.pem", "file")
    write(tmp_path / "key.pem", "file")
    path = config(
        tmp_path,
        user=f"    client-certificate: cert.pem\n    client-key: key.pem\n    client-certificate-data: {data}\n    client-key-data: {data}",
    )
    identity = await load_credentials(kubeconfig=path, environ={}).user.identity()
    assert identity.certificate is not None
    assert identity.certificate.certificate == b"inline"
    assert "inline" not in repr(identity), "no secret in a repr"


async def test_client_certificates_from_files_are_relative_and_follow_rotation(tmp_path: Path) -> None:
    write(tmp_path / "cert.pem", "old")
    write(tmp_path / "key.pem", "key")
    path = config(tmp_path, user="    client-certificate: cert.pem\n    client-key: key.pem")
    user = load_credentials(kubeconfig=path, environ={}).user
    first = await user.identity()
    write(tmp_path / "cert.pem", "newer")
    second = await user.identity()
    assert first.certificate is not None
    assert second.certificate is not None
    assert (first.certificate.certificate, second.certificate.certificate) == (b"old", b"newer")


def test_a_certificate_without_its_key_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="without the other"):
        load_credentials(kubeconfig=config(tmp_path, user="    client-certificate: x"), environ={})


async def test_a_missing_certificate_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = config(tmp_path, user="    client-certificate: none.pem\n    client-key: none.key")
    with pytest.raises(CredentialsError, match=r"none\.pem") as caught:
        await load_credentials(kubeconfig=path, environ={}).user.identity()
    assert caught.value.code == "CredentialsFileUnreadable"


def test_auth_provider_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as caught:
        load_credentials(kubeconfig=config(tmp_path, user="    auth-provider: {name: gcp}"), environ={})
    assert caught.value.code == "AuthProviderUnsupported"
    assert "exec" in (caught.value.hint or "")


# clusters


def test_ca_from_data_or_file_and_a_server_name(tmp_path: Path) -> None:
    data = base64.b64encode(b"inline CA").decode()
    write(tmp_path / "ca.pem", "file CA")
    inline = load_credentials(
        kubeconfig=config(
            tmp_path,
            cluster=f"    certificate-authority: ca.pem\n    certificate-authority-data: {data}\n    tls-server-name: api.internal",
        ),
        environ={},
    )
    assert inline.trust.ca is not None
    assert inline.trust.ca.read() == b"inline CA"
    assert inline.trust.server_name == "api.internal"
    file = load_credentials(
        kubeconfig=config(tmp_path, cluster="    certificate-authority: ca.pem"), environ={}
    )
    assert file.trust.ca is not None
    assert file.trust.ca.read() == b"file CA"


def test_insecure_is_taken_but_not_beside_a_ca(tmp_path: Path) -> None:
    insecure = load_credentials(
        kubeconfig=config(tmp_path, cluster="    insecure-skip-tls-verify: true"), environ={}
    )
    assert insecure.trust.insecure
    with pytest.raises(CredentialsError, match="insecure-skip-tls-verify"):
        load_credentials(
            kubeconfig=config(
                tmp_path, cluster="    insecure-skip-tls-verify: true\n    certificate-authority: ca.pem"
            ),
            environ={},
        )


def test_proxy_url_goes_before_the_environment(tmp_path: Path) -> None:
    path = config(tmp_path, cluster="    proxy-url: http://proxy.example:3128")
    environ = {"HTTPS_PROXY": "http://env.example:1"}
    assert load_credentials(kubeconfig=path, environ=environ).proxy == "http://proxy.example:3128"


def test_a_socks_proxy_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as caught:
        load_credentials(
            kubeconfig=config(tmp_path, cluster="    proxy-url: socks5://proxy.example:1080"), environ={}
        )
    assert caught.value.code == "ProxyUnsupported"


@pytest.mark.parametrize(
    ("no_proxy", "proxied"),
    [
        ("", True),
        ("*", False),
        ("x.example", False),
        ("example", False),
        (".example", False),
        ("other.example", True),
        ("x.example:443", False),
        ("x.example:6443", True),
        ("10.0.0.0/8,x.example", False),
    ],
)
def test_the_environment_names_a_proxy_and_its_exceptions(
    tmp_path: Path, no_proxy: str, proxied: bool
) -> None:
    environ = {"https_proxy": "proxy.example:3128", "NO_PROXY": no_proxy}
    found = load_credentials(kubeconfig=config(tmp_path), environ=environ).proxy
    assert found == ("http://proxy.example:3128" if proxied else None)


@pytest.mark.parametrize(
    ("host", "no_proxy", "proxied"),
    [
        ("10.96.0.1", "10.96.0.0/12", False),
        ("10.112.0.1", "10.96.0.0/12", True),
        ("10.96.0.1", "10.96.0.1", False),
        ("[fd00::1]", "fd00::/8", False),
        ("127.0.0.1", "", False),
        ("localhost", "", False),
    ],
)
def test_addresses_and_loopback_in_the_proxy_rules(
    tmp_path: Path, host: str, no_proxy: str, proxied: bool
) -> None:
    path = Path(config(tmp_path))
    path.write_text(path.read_text().replace("x.example", host))
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    assert (load_credentials(kubeconfig=str(path), environ=environ).proxy is not None) == proxied


# in a Pod


@pytest.fixture
def account(tmp_path: Path) -> Path:
    folder = tmp_path / "sa"
    write(folder / "token", "pod-token")
    write(folder / "ca.crt", "CA")
    write(folder / "namespace", "team-a")
    return folder


ENVIRON = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


async def test_in_a_pod_the_service_account_is_used(account: Path) -> None:
    credentials = load_credentials(environ=ENVIRON, service_account=account)
    assert credentials.server == "https://10.96.0.1:443"
    assert credentials.namespace == "team-a"
    assert dict((await credentials.user.identity()).headers) == {"Authorization": "Bearer pod-token"}


def test_an_ipv6_service_host_gets_brackets(account: Path) -> None:
    credentials = load_credentials(
        environ={**ENVIRON, "KUBERNETES_SERVICE_HOST": "fd00::1"}, service_account=account
    )
    assert credentials.server == "https://[fd00::1]:443"


def test_a_kubeconfig_goes_before_the_service_account(account: Path, tmp_path: Path) -> None:
    credentials = load_credentials(kubeconfig=config(tmp_path), environ=ENVIRON, service_account=account)
    assert credentials.server == "https://x.example"


def test_a_pod_without_a_mounted_token_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="service-account token"):
        load_credentials(environ=ENVIRON, service_account=tmp_path)


async def test_a_rotated_token_is_seen_at_once_also_when_swapped_by_symlink(account: Path) -> None:
    (account / "token").unlink()
    write(account / "v1" / "token", "one-token")
    write(account / "v2" / "token", "two-token")
    (account / "token").symlink_to(account / "v1" / "token")
    user = load_credentials(environ=ENVIRON, service_account=account).user
    assert dict((await user.identity()).headers)["Authorization"] == "Bearer one-token"
    (account / "new").symlink_to(account / "v2" / "token")
    (account / "new").rename(account / "token")
    assert dict((await user.identity()).headers)["Authorization"] == "Bearer two-token"


async def test_a_token_is_read_again_after_60_s_and_on_401_even_if_the_file_looks_the_same(
    account: Path,
) -> None:
    import os

    clock = VirtualClock()
    user = load_credentials(environ=ENVIRON, service_account=account, clock=clock).user
    first = await user.identity()
    path = account / "token"

    def replace_unseen(text: str) -> None:
        stat = path.stat()
        path.write_text(text)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    replace_unseen("pod-tokem")
    assert await user.identity() == first
    clock.advance(61)
    assert dict((await user.identity()).headers)["Authorization"] == "Bearer pod-tokem"
    replace_unseen("pod-tokek")
    assert await user.renew(await user.identity()), "another identity: repeat the request"
    assert not await user.renew(await user.identity()), "the same: a repeat would not help"


async def test_a_token_file_that_vanishes_or_empties_keeps_the_last_one(account: Path) -> None:
    user = load_credentials(environ=ENVIRON, service_account=account).user
    first = await user.identity()
    (account / "token").write_text("")
    assert await user.identity() == first
    (account / "token").unlink()
    assert await user.identity() == first


async def test_a_token_with_a_line_break_inside_never_becomes_a_header(account: Path) -> None:
    (account / "token").write_text("abc\r\nX-Evil: 1")
    with pytest.raises(CredentialsError, match="characters"):
        await load_credentials(environ=ENVIRON, service_account=account).user.identity()
