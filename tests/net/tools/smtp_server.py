#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A mail server of aiosmtpd for the scenarios.

    smtp_server.py DIR USER PASSWORD CERTIFICATE KEY ADDRESS...

On each address: implicit TLS on 465, STARTTLS on 587 and 2525. CERTIFICATE "-": no TLS anywhere, also
not on 465. AUTH is offered with and without TLS. DIR/log has a line for each thing that happened:
    ready
    auth USER TLS      somebody gave the right password; TLS is "TLSv1.3" or "clear"
    mail TLS           one more message; its text is appended to DIR/mail, with LF line ends
"""
import asyncio
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

ROOM = 128 * 1024 * 1024


def name_of(session):
    return session.ssl["cipher"][1] if session.ssl else "clear"


class Server(SMTP):
    """Behind implicit TLS aiosmtpd does not know by itself that there is TLS."""

    def connection_made(self, transport):
        super().connection_made(transport)
        cipher = transport.get_extra_info("cipher")
        if cipher and not self.session.ssl:
            self.session.ssl = {"cipher": cipher}


class Keeper:
    def __init__(self, folder, user, password):
        self.log = open(folder + "/log", "a", buffering=1)
        self.mail = open(folder + "/mail", "ab", buffering=0)
        self.user, self.password = user.encode(), password.encode()

    def authenticate(self, server, session, envelope, mechanism, data):
        good = data.login == self.user and data.password == self.password
        if good:
            self.log.write("auth %s %s\n" % (data.login.decode(), name_of(session)))
        return AuthResult(success=good)

    async def handle_DATA(self, server, session, envelope):
        self.mail.write(envelope.content.replace(b"\r\n", b"\n"))
        self.log.write("mail %s\n" % name_of(session))
        return "250 taken"


async def main(folder, user, password, certificate, key, *addresses):
    keeper = Keeper(folder, user, password)
    context = None
    if certificate != "-":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)

    def maker(starttls):
        return lambda: Server(keeper, hostname="mail.example.net", data_size_limit=ROOM,
                              tls_context=context if starttls else None,
                              authenticator=keeper.authenticate, auth_required=False,
                              auth_require_tls=False)

    loop = asyncio.get_running_loop()
    for address in addresses:
        await loop.create_server(maker(False), address, 465, ssl=context)
        for port in 587, 2525:
            await loop.create_server(maker(True), address, port)
    keeper.log.write("ready\n")
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
