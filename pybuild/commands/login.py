"""`pybuild login`: credentials, kept where docker keeps them."""

from __future__ import annotations

import sys

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild login registry.example.org\n"
    "  pybuild login -u ada --password-stdin registry.example.org < password"
)
@click.argument("server", required=False, default="docker.io")
@click.option("-u", "--username", metavar="NAME")
@click.option("-p", "--password", metavar="WORD", help="Seen by everyone on this machine; rather use --password-stdin.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--tls-verify/--no-tls-verify", default=True, help="Demand TLS and valid certificates.")
@click.pass_obj
def login(
    context: Context, server: str, username: str | None, password: str | None, password_stdin: bool, tls_verify: bool
) -> None:
    """Check a username and password with SERVER and remember them for push and pull."""
    from registry.credentials import Credentials
    from registry.session import client

    if password is not None and password_stdin:
        raise click.UsageError("--password and --password-stdin exclude each other")
    if password_stdin:
        if not username:
            raise click.UsageError("--password-stdin needs --username")
        password = sys.stdin.readline().rstrip("\r\n")
    username = username or click.prompt("Username", err=True)
    password = password or click.prompt("Password", hide_input=True, err=True)
    host = server.removeprefix("https://").removeprefix("http://").rstrip("/")
    client(creds=f"{username}:{password}", tls_verify=tls_verify, stop=context.stop).check(host)
    where = Credentials().login(host, username, password)
    click.echo(f"Login Succeeded; kept in {where}")
