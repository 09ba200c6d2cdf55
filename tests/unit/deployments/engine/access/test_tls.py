"""An engine that speaks TLS, its supervisor's session, and clients that should not get through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cluster.fleet import EngineTls
from deployments.engine.access.client import engine_session
from deployments.engine.access.tls import TlsError, client_context, server_context
from deployments.engine.process import EngineProcess
from deployments.engine.vllm import engine_arguments
from tests.support.front import front
from tests.support.processes import fake_fleet, fake_pool, fake_spec, replica_info

TIMEOUT = aiohttp.ClientTimeout(total=10)


def made_tls(folder: Path, name: str) -> EngineTls:
    """An authority of that name, and a certificate that it has signed."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {name}")])
    engine_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = _certificate(authority_name, authority_name, authority_key.public_key(), authority_key, True)
    certificate = _certificate(engine_name, authority_name, key.public_key(), authority_key, False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = {"certificate": certificate, "key": private, "authority": authority}
    for kind, content in files.items():
        (folder / f"{name}-{kind}").write_bytes(content)
    return EngineTls(**{kind: str(folder / f"{name}-{kind}") for kind in files})


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signing: ec.EllipticCurvePrivateKey,
    authority: bool,
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
    return builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_gateway_and_supervisor_speak_tls_with_an_engine_of_their_authority(tmp_path: Path) -> None:
    tls, other, pool = made_tls(tmp_path, "fleet"), made_tls(tmp_path, "other"), fake_pool()
    made = EngineProcess(fake_spec(pool, tls=tls), tmp_path / "log")
    await made.start(20)
    try:
        assert made.url.startswith("https://127.0.0.1:")
        async with made.session(TIMEOUT) as session:
            facts = await made.backend.facts(session, made.url, made.spec)
            assert facts.kv_events is not None
            assert facts.kv_events.startswith("ipc://")
        fleet = fake_fleet(pool).model_copy(update={"engine_tls": tls})
        async with front(fleet, [replica_info(made.url, pool)]) as gateway:
            status, answer, _ = await gateway.ask()
            assert (status, answer["usage"]["completion_tokens"]) == (200, 4)
        for wrong in (other, None):
            async with engine_session(made.keys, TIMEOUT, tls=client_context(wrong)) as stranger:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await stranger.get(f"{made.url}/health")
        async with engine_session(made.keys, TIMEOUT, tls=client_context(tls)) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(made.url.replace("https:", "http:") + "/health")
    finally:
        await made.stop()


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
