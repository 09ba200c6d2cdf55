"""An engine that speaks TLS, its supervisor's session, and clients that should not get through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cluster.addresses import ip_address
from cluster.fleet import EngineTls, Fleet, Gateway, Pool
from deployments.engine.access.client import engine_session
from deployments.engine.access.tls import TlsError, client_context, server_context
from deployments.engine.process import EngineError, EngineProcess
from deployments.engine.vllm.backend import engine_arguments
from deployments.gateway.proxy.recovery.engine_health import Health
from deployments.gateway.proxy.recovery.failures import ReplicaFailed
from deployments.gateway.proxy.time_limits import AnswerTimer, Seconds
from deployments.gateway.proxy.upstream.exchange import UpstreamClient
from tests.support.front import front
from tests.support.processes import fake_fleet, fake_pool, fake_spec, replica_info

TIMEOUT = aiohttp.ClientTimeout(total=10)
NAME = "engines.mixfleet"


def in_fleet(pool: Pool, tls: EngineTls | None) -> Fleet:
    return fake_fleet(pool).model_copy(update={"engine_tls": tls})


class Authority:
    """Signs certificates of engines into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {name}")])
        self._own = _certificate(self._subject, self._subject, self._key.public_key(), self._key, True)

    def tls(self, *names: str, name: str | None = None) -> EngineTls:
        """The files of a node whose engines have these addresses and DNS names, in a fleet that demands `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
        certificate = _certificate(subject, self._subject, key.public_key(), self._key, False, names)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files = {"certificate": certificate, "key": private, "authority": self._own}
        place = "-".join([self._name, *names])
        for kind, content in files.items():
            (self._folder / f"{place}-{kind}").write_bytes(content)
        return EngineTls(**{kind: str(self._folder / f"{place}-{kind}") for kind in files}, name=name)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signing: ec.EllipticCurvePrivateKey,
    authority: bool,
    names: Sequence[str] = (),
) -> bytes:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    usage = x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
    )
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
    return builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general_name(name: str) -> x509.GeneralName:
    address = ip_address(name)
    return x509.IPAddress(address) if address else x509.DNSName(name)


@pytest.mark.parametrize(("names", "name"), [(["127.0.0.1"], None), ([NAME], NAME), ([NAME, "127.0.0.1"], NAME)])
async def test_gateway_and_supervisor_speak_tls_with_an_engine_of_their_authority_and_name(
    tmp_path: Path, names: list[str], name: str | None
) -> None:
    authority, pool = Authority(tmp_path, "fleet"), fake_pool()
    tls = authority.tls(*names, name=name)
    made = EngineProcess(fake_spec(pool, tls=tls), tmp_path / "log")
    await made.start(20)
    try:
        assert made.url.startswith("https://127.0.0.1:")
        async with made.session(TIMEOUT) as session:
            facts = await made.backend.facts(session, made.url, made.spec)
            assert facts.kv_events is not None
            assert facts.kv_events.startswith("ipc://")
        async with front(in_fleet(pool, tls), [replica_info(made.url, pool)]) as gateway:
            status, answer, _ = await gateway.ask()
            assert (status, answer["usage"]["completion_tokens"]) == (200, 4)
        async with engine_session(made.keys, TIMEOUT, tls=client_context(tls)) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(made.url.replace("https:", "http:") + "/health")
    finally:
        await made.stop()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_certificate_of_another_authority_or_with_a_wrong_name_is_refused(
    tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    fleet, other, pool = Authority(tmp_path, "fleet"), Authority(tmp_path, "other"), fake_pool()
    shown = fleet.tls("127.0.0.1", NAME, name=NAME)
    wrong = {
        "another authority": other.tls("127.0.0.1", NAME, name=NAME),
        "another authority, by address": other.tls("127.0.0.1", NAME),
        "another name of the fleet's authority": shown.model_copy(update={"name": "other.mixfleet"}),
        "part of the name": shown.model_copy(update={"name": "mixfleet"}),
        "authorities of the system": None,
    }

    async def ask_all() -> None:
        made = EngineProcess(fake_spec(pool, tls=shown), tmp_path / "log")
        assert made.keys is not None
        await made.start(20)
        try:
            for case, tls in wrong.items():
                async with engine_session(made.keys, TIMEOUT, tls=client_context(tls)) as reporter:
                    with pytest.raises(aiohttp.ClientConnectorCertificateError):
                        await reporter.get(f"{made.url}/health")
                gateway = UpstreamClient(Gateway(), made.keys.headers, tls)
                with pytest.raises(ReplicaFailed, match="certificate verify failed"):
                    await gateway.post(made.url, "/v1/completions", {}, b"{}", 2, AnswerTimer(Seconds(5, 5, 5)))
                assert await gateway.health.check(made.url) is Health.DEAD, case
                await gateway.close()
            async with engine_session(made.keys, TIMEOUT, tls=client_context(shown)) as reporter:
                assert (await reporter.get(f"{made.url}/health")).status == 200
        finally:
            await made.stop()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(ask_all())


@pytest.mark.parametrize("name", [None, "other.mixfleet"])
async def test_an_engine_whose_own_certificate_clients_refuse_does_not_start_and_says_which_name_it_lacks(
    tmp_path: Path, name: str | None
) -> None:
    tls = Authority(tmp_path, "fleet").tls(NAME, name=name)
    made = EngineProcess(fake_spec(fake_pool(), tls=tls), tmp_path / "log")
    with pytest.raises(EngineError, match=f"must have signed it, for the name {name or '127.0.0.1'}"):
        await made.start(60)


@pytest.mark.parametrize("name", ["a b", "-x", "", "x..y"])
def test_a_name_that_no_certificate_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no DNS name"):
        EngineTls(certificate="/c", key="/k", authority="/a", name=name)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_files_that_cannot_be_used_are_named(tmp_path: Path, content: bytes | None) -> None:
    tls = EngineTls(**{kind: str(tmp_path / kind) for kind in ("certificate", "key", "authority")})
    for file in tls.files if content else []:
        Path(file).write_bytes(content or b"")
    for made in (client_context, server_context):
        with pytest.raises(TlsError, match="it must be readable on every node of the fleet"):
            made(tls)


def test_vllm_is_started_with_the_nodes_certificate() -> None:
    tls = EngineTls(certificate="/c", key="~/k", authority="/a")
    words = engine_arguments(fake_spec(fake_pool(), tls=tls))
    assert words[words.index("--ssl-certfile") + 1] == "/c"
    assert words[words.index("--ssl-keyfile") + 1] == str(Path("~/k").expanduser())
