"""Exec credential plugins: a test for each sentence of their contract."""

import json
import os
import stat
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.base import VirtualClock
from fairlead.kube import CredentialsError, load_credentials
from fairlead.kube._identity import User

V1 = "client.authentication.k8s.io/v1"
BETA = "client.authentication.k8s.io/v1beta1"


class Setup:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.environ = {"PATH": os.environ["PATH"], "INHERITED": "yes"}

    def plugin(self, script: str) -> None:
        path = self.folder / "plugin"
        path.write_text('#!/bin/sh\necho run >> "$(dirname "$0")/runs"\n' + textwrap.dedent(script))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def gives(self, status: dict[str, str], *, version: str = V1) -> None:
        answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
        (self.folder / "answer").write_text(answer)
        self.plugin('cat "$(dirname "$0")/answer"')

    @property
    def runs(self) -> int:
        path = self.folder / "runs"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def user(self, *, version: str = V1, cluster: dict[str, object] | None = None, **extra: object) -> User:
        config = {
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": "https://x.example", **(cluster or {})}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "users": [
                {
                    "name": "x",
                    "user": {
                        "exec": {
                            "apiVersion": version,
                            "command": "./plugin",
                            "interactiveMode": "Never",
                            **extra,
                        }
                    },
                }
            ],
        }
        path = self.folder / "config"
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        return load_credentials(kubeconfig=str(path), environ=self.environ, clock=self.clock).user

    def seen(self, name: str) -> str:
        return (self.folder / name).read_text()


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


async def authorization(user: User) -> str:
    return dict((await user.identity()).headers)["Authorization"]


@pytest.mark.parametrize("version", [V1, BETA])
async def test_a_token_is_used_and_the_plugin_run_once(setup: Setup, version: str) -> None:
    setup.gives({"token": "t1"}, version=version)
    user = setup.user(version=version)
    assert setup.runs == 0, "not before the first request"
    assert await authorization(user) == "Bearer t1"
    assert await authorization(user) == "Bearer t1"
    assert setup.runs == 1


async def test_it_is_run_again_when_what_it_gave_expires(setup: Setup) -> None:
    expires = datetime.fromtimestamp(setup.clock.wall() + 100, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    setup.gives({"token": "t1", "expirationTimestamp": expires})
    user = setup.user()
    assert await authorization(user) == "Bearer t1"
    setup.clock.advance(99)
    await authorization(user)
    assert setup.runs == 1
    setup.clock.advance(2)
    setup.gives({"token": "t2"})
    assert await authorization(user) == "Bearer t2"
    assert setup.runs == 2


async def test_it_is_run_again_on_401_once_for_all_who_were_refused(setup: Setup) -> None:
    setup.gives({"token": "t1"})
    user = setup.user()
    refused = await user.identity()
    setup.gives({"token": "t2"})
    assert await user.renew(refused), "another identity: repeat the request"
    assert setup.runs == 2
    assert not await user.renew(await user.identity()), "the same: a repeat would not help"
    assert setup.runs == 3


async def test_a_client_certificate_is_used(setup: Setup) -> None:
    setup.gives({"clientCertificateData": "CERT", "clientKeyData": "KEY"})
    identity = await setup.user().identity()
    assert identity.certificate is not None
    assert (identity.certificate.certificate, identity.certificate.key) == (b"CERT", b"KEY")
    assert identity.headers == ()


async def test_args_env_and_the_environment_reach_it(setup: Setup) -> None:
    setup.gives({"token": "t"})
    script = (setup.folder / "plugin").read_text()
    (setup.folder / "plugin").write_text(
        script + '\necho "$1 $2 $EXTRA $INHERITED" > "$(dirname "$0")/seen"\n'
    )
    user = setup.user(args=["get", "token"], env=[{"name": "EXTRA", "value": "more"}])
    await user.identity()
    assert setup.seen("seen") == "get token more yes\n"


@pytest.mark.parametrize("provide", [True, False])
async def test_it_is_told_what_is_asked_for(setup: Setup, provide: bool) -> None:
    setup.gives({"token": "t"})
    script = (setup.folder / "plugin").read_text()
    (setup.folder / "plugin").write_text(
        script + '\nprintf "%s" "$KUBERNETES_EXEC_INFO" > "$(dirname "$0")/info"\n'
    )
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
    user = setup.user(
        provideClusterInfo=provide,
        cluster={
            "certificate-authority-data": "Q0E=",
            "tls-server-name": "api.internal",
            "extensions": [extension],
        },
    )
    await user.identity()
    info = json.loads(setup.seen("info"))
    assert info["apiVersion"] == V1
    assert info["kind"] == "ExecCredential"
    assert info["spec"]["interactive"] is False
    if not provide:
        assert "cluster" not in info["spec"]
        return
    assert info["spec"]["cluster"] == {
        "server": "https://x.example",
        "tls-server-name": "api.internal",
        "certificate-authority-data": "Q0E=",
        "config": {"audience": "a"},
    }


def answer(status: object, *, version: str = V1, kind: str = "ExecCredential") -> str:
    return json.dumps({"apiVersion": version, "kind": kind, "status": status})


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("not json", "no ExecCredential"),
        (answer({"token": "s3cret"}, version=BETA), "v1beta1"),
        (answer({"token": "s3cret"}, kind="Secret"), "Secret"),
        (answer(None), "neither a token nor"),
        (answer({}), "neither a token nor"),
        (answer({"clientCertificateData": "s3cret"}), "without its key"),
        (answer({"clientKeyData": "s3cret"}), "without its certificate"),
        (answer({"token": "s3cret", "expirationTimestamp": "soon"}), "RFC 3339"),
    ],
)
async def test_any_other_output_is_an_error_that_does_not_show_it(
    setup: Setup, output: str, problem: str
) -> None:
    (setup.folder / "answer").write_text(output)
    setup.plugin('cat "$(dirname "$0")/answer"')
    with pytest.raises(CredentialsError, match=problem) as caught:
        await setup.user().identity()
    assert caught.value.code == "ExecPluginFailed"
    assert "s3cret" not in str(caught.value)


async def test_a_token_of_several_lines_goes_into_no_header(setup: Setup) -> None:
    (setup.folder / "answer").write_text(answer({"token": "s3cret\r\nImpersonate-User: admin"}))
    setup.plugin('cat "$(dirname "$0")/answer"')
    with pytest.raises(CredentialsError, match="characters that no token has") as caught:
        await setup.user().identity()
    assert "s3cret" not in str(caught.value)


async def test_a_failing_plugin_is_an_error_with_its_complaint(setup: Setup) -> None:
    setup.plugin("echo please log in >&2; exit 3")
    with pytest.raises(CredentialsError, match="exit code 3: please log in"):
        await setup.user().identity()


async def test_a_failing_plugin_is_not_run_for_everybody_at_once(setup: Setup) -> None:
    setup.plugin("exit 3")
    user = setup.user()
    for _ in range(20):
        with pytest.raises(CredentialsError):
            await user.identity()
    assert setup.runs == 1
    setup.clock.advance(6)
    with pytest.raises(CredentialsError):
        await user.identity()
    assert setup.runs == 2


async def test_a_missing_plugin_is_an_error_with_its_install_hint(setup: Setup) -> None:
    user = setup.user(command="./missing", installHint="install it from your vendor")
    with pytest.raises(CredentialsError) as caught:
        await user.identity()
    assert caught.value.code == "ExecPluginNotFound"
    assert caught.value.hint == "install it from your vendor"


async def test_a_plugin_that_must_ask_needs_a_terminal(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.gives({"token": "t"})
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(CredentialsError, match="terminal"):
        await setup.user(interactiveMode="Always").identity()
    assert await authorization(setup.user(interactiveMode="IfAvailable")) == "Bearer t"


def test_v1_needs_an_interactive_mode_and_v1beta1_does_not(setup: Setup) -> None:
    setup.gives({"token": "t"})
    with pytest.raises(CredentialsError, match="interactiveMode"):
        setup.user(interactiveMode=None)
    setup.user(version=BETA, interactiveMode=None)
    with pytest.raises(CredentialsError, match="Sometimes"):
        setup.user(interactiveMode="Sometimes")


def test_v1alpha1_is_refused_with_the_way_out(setup: Setup) -> None:
    with pytest.raises(CredentialsError) as caught:
        setup.user(version="client.authentication.k8s.io/v1alpha1")
    assert caught.value.code == "ExecVersionUnsupported"
    assert "update the plugin" in (caught.value.hint or "")
