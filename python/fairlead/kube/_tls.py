"""TLS contexts as Kubernetes clients use them.

Go accepts any certificate of a CA bundle as an anchor, also an intermediate one, and does not ask for the
extensions that Python's strict mode wants; clusters rely on both.
"""

import os
import ssl

from fairlead.kube._errors import CredentialsError
from fairlead.kube._identity import ClientCertificate


def make_context(
    *, ca: bytes | None, insecure: bool, certificate: ClientCertificate | None
) -> ssl.SSLContext:
    """A client context; `ca` None means the system's authorities.

    Raises:
        CredentialsError: the CA, the certificate or its key is no PEM, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cadata=ca.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise CredentialsError("the cluster's CA is no PEM certificate", code="CAInvalid") from error
    if certificate is not None:
        _load_pair(context, certificate)
    return context


def _load_pair(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    # The ssl module reads pairs from files only; an anonymous one in memory keeps the key off the disk.
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(certificate.certificate + b"\n" + certificate.key)
        # No password is ever asked for on the terminal: an encrypted key is an error.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise CredentialsError(
            "the client certificate and its key cannot be used",
            code="ClientCertificateInvalid",
            hint="they have to be an unencrypted PEM pair that belongs together",
        ) from error
    finally:
        os.close(descriptor)
