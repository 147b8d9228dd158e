"""The first path by Google's own gRPC library, with nothing of HiveSync but its published contract.

Takes the directory of the contract, the server's address and the certificate to trust. Says `ok` on stdout if all held.
"""

import base64
import hashlib
import json
import pathlib
import sys
import tempfile
import time
import uuid

import grpc
import grpc_tools
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from grpc_tools import protoc

PASSWORD = "Correct-Horse-7-Battery"
EMAIL = "grace@example.com"


def generate(contract, target):
    """Compiles the contract as its users do, and makes what comes out importable."""
    files = sorted(path for path in contract.rglob("*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    status = protoc.main(
        ["protoc", f"-I{contract}", f"-I{well_known}", f"--python_out={target}", f"--grpc_python_out={target}"]
        + [str(path) for path in files]
    )
    assert status == 0, "protoc refuses the contract"
    sys.path.insert(0, str(target))


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Device:
    """A device key, and the proofs (RFC 9449) that it makes."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        x, y = (base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        self.header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}}

    def prove(self, authority, method, access_token=None):
        claims = {
            "jti": str(uuid.uuid4()),
            "htm": "POST",
            "htu": f"https://{authority}{method}",
            "iat": int(time.time()),
        }
        if access_token is not None:
            claims["ath"] = base64url(hashlib.sha256(access_token.encode()).digest())
        parts = (base64url(json.dumps(part).encode()) for part in (self.header, claims))
        signing_input = ".".join(parts)
        signature = self.key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256()))
        raw = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))
        return [("dpop", f"{signing_input}.{base64url(raw)}")]


def refused(call, code, reason):
    """The details of a call that must be refused."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        details = {}
        for detail in rpc_status.from_call(error).details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RequestInfo, error_details_pb2.BadRequest):
                if detail.Is(kind.DESCRIPTOR):
                    details[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
        assert details["ErrorInfo"].reason == reason, details
        assert details["ErrorInfo"].domain == "hivesync.dev", details
        metadata = {**dict(error.initial_metadata() or ()), **dict(error.trailing_metadata() or ())}
        assert details["RequestInfo"].request_id == metadata["correlation-id"], (details, metadata)
        return details
    raise AssertionError(f"a call was not refused: {reason}")


def sign_in(channel, authority, device, name):
    from hivesync.v1 import auth_pb2, auth_pb2_grpc

    return auth_pb2_grpc.AuthServiceStub(channel).Login(
        auth_pb2.LoginRequest(email=EMAIL, password=PASSWORD, device_name=name, platform=auth_pb2.PLATFORM_DESKTOP),
        metadata=device.prove(authority, "/hivesync.v1.AuthService/Login"),
    )


def accounts(channel, authority):
    """Registers and signs in; returns the metadata of a signed-in caller, and the account."""
    from hivesync.v1 import auth_pb2, auth_pb2_grpc, users_pb2, users_pb2_grpc

    auth = auth_pb2_grpc.AuthServiceStub(channel)
    auth.Register(auth_pb2.RegisterRequest(email=EMAIL, password=PASSWORD, display_name="Grace"))
    refused(
        lambda: auth.Login(auth_pb2.LoginRequest(email=EMAIL, password=PASSWORD, device_name="x", platform=1)),
        grpc.StatusCode.UNAUTHENTICATED,
        "INVALID_DEVICE_PROOF",
    )
    device = Device()
    tokens = sign_in(channel, authority, device, "grpcio")
    bearer = [("authorization", f"Bearer {tokens.access_token}")]
    me = users_pb2_grpc.UserServiceStub(channel).GetMe(users_pb2.GetMeRequest(), metadata=bearer)
    assert (me.id, me.email, me.display_name) == (tokens.user_id, EMAIL, "Grace"), me

    proof = device.prove(authority, "/hivesync.v1.AuthService/Refresh")
    request = auth_pb2.RefreshRequest(refresh_token=tokens.refresh_token, attempt_id=str(uuid.uuid4()))
    renewed = auth.Refresh(request, metadata=proof)
    assert renewed.session_id == tokens.session_id
    return [("authorization", f"Bearer {renewed.access_token}")], me


def projects(channel, bearer, me):
    """Creates projects, and reads them page by page."""
    from hivesync.v1 import projects_pb2, projects_pb2_grpc

    service = projects_pb2_grpc.ProjectServiceStub(channel)
    names = [f"project-{number}" for number in range(5)]
    for name in names:
        request = projects_pb2.CreateProjectRequest(
            team_id=me.personal_team_id, name=name, idempotency_key=str(uuid.uuid4())
        )
        created = service.CreateProject(request, metadata=bearer)
        assert service.CreateProject(request, metadata=bearer) == created, "a repeat is harmless"
    listed, token = [], ""
    while True:
        page = service.ListProjects(
            projects_pb2.ListProjectsRequest(team_id=me.personal_team_id, page_size=2, page_token=token),
            metadata=bearer,
        )
        listed.extend(project.name for project in page.projects)
        token = page.next_page_token
        if not token:
            break
    assert listed == names, listed
    violations = refused(
        lambda: service.CreateProject(projects_pb2.CreateProjectRequest(team_id="x"), metadata=bearer),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    )["BadRequest"].field_violations
    assert "team_id" in [violation.field for violation in violations], violations


def notifications(channel, authority, bearer):
    """Is told live, stops listening, and does not wait longer than it wants to."""
    from hivesync.v1 import notifications_pb2, notifications_pb2_grpc

    service = notifications_pb2_grpc.NotificationServiceStub(channel)
    request = notifications_pb2.StreamNotificationsRequest(live_only=True)
    stream = service.StreamNotifications(request, metadata=bearer, timeout=60)
    assert not next(stream).notifications, "the first message says that the stream stands"
    sign_in(channel, authority, Device(), "another device")
    told = next(batch for batch in stream if batch.notifications).notifications[0]
    assert told.kind == notifications_pb2.NOTIFICATION_KIND_DEVICE_ADDED, told
    stream.cancel()
    try:
        next(stream)
        raise AssertionError("a cancelled stream goes on")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.CANCELLED, error

    waiting = service.StreamNotifications(request, metadata=bearer, timeout=1)
    try:
        for _ in waiting:
            pass
        raise AssertionError("a deadline has no effect")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


def limits(channel):
    """What is too large or unknown is refused, and the connection stays usable."""
    from hivesync.v1 import auth_pb2, auth_pb2_grpc

    auth = auth_pb2_grpc.AuthServiceStub(channel)
    large = auth_pb2.RegisterRequest(email=EMAIL, password=PASSWORD, display_name="x" * (5 * 1024 * 1024))
    refused(lambda: auth.Register(large), grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    unknown = channel.unary_unary("/hivesync.v1.AuthService/Nothing")
    refused(lambda: unknown(b""), grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD")


def health(channel):
    """The published health client asks and watches."""
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "hivesync.v1.AuthService", "hivesync.v1.NotificationService"):
        request = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(request).status == health_pb2.HealthCheckResponse.SERVING, service
        watch = stub.Watch(request)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING, service
        watch.cancel()
    refused(
        lambda: stub.Check(health_pb2.HealthCheckRequest(service="nobody")),
        grpc.StatusCode.NOT_FOUND,
        "NOT_FOUND",
    )


def main():
    contract, authority, root = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    with tempfile.TemporaryDirectory() as target:
        generate(contract, target)
        credentials = grpc.ssl_channel_credentials(root.read_bytes())
        with grpc.secure_channel(authority, credentials) as channel:
            bearer, me = accounts(channel, authority)
            projects(channel, bearer, me)
            notifications(channel, authority, bearer)
            limits(channel)
            health(channel)
    print("ok")


main()
